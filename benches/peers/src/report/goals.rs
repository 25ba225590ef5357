//! The goals, and what was measured of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::document::{read, write_between};
use super::tables::{MemoryResult, RedisResult, find, millis};
use crate::Result;
use crate::figures::median;
use crate::memory;
use crate::redis::Contender;

/// What was measured, by the goal's key.
pub(crate) type Measured = BTreeMap<&'static str, String>;

/// The option of the run that measures a row. Empty for the run without options.
const ALL: &str = "";
const SCALE: &str = "`--scale`";
const HTTP: &str = "`--http`";

struct Goal {
    /// The key of the row.
    what: &'static str,
    wanted: &'static str,
    option: &'static str,
    /// The limit that was found, and its reason. Printed below the table.
    floor: &'static str,
}

const GOALS: [Goal; 10] = [
    Goal {
        what: "Redis, one task",
        wanted: "2 round trips a cycle, within 1.1 of the raw limit's time",
        option: ALL,
        floor: "The ratio is between 0.99 and 1.3 from run to run and machine to machine. The rest is the server's \
                work: 99 000 instructions a cycle. Two scripts that do nothing take 49 000 of these; raw takes 33 \
                500.",
    },
    Goal {
        what: "Redis, 64 tasks, own keys",
        wanted: "2 × the best peer",
        option: ALL,
        floor: "Raw's two commands in gathered pipelines, without fence or queue, do not reach the goal either. Ours \
                is 1.0 to 1.3 from run to run. Calls for 64 locks each take the server 5.5 µs a cycle. Raw's two \
                commands take 4.8 µs, and two scripts that do nothing 6.6 µs. This process takes 8 to 10 µs. Two \
                processors shared by both would allow 130 000 cycles. What is missing is overlap: with fewer and \
                longer calls the two wait for each other in turns; with more and shorter ones the server does more.",
    },
    Goal {
        what: "Redis, one key, one process, 64 tasks",
        wanted: "50 × the best peer, no overlap, longest wait under 20 × the median",
        option: ALL,
        floor: "The longest of a million waits are those during which the machine stood still: they come together, \
                for all waiters at once. The longest of the few PINGs beside them is a fifth as long. The 99th \
                percentile is 3 × the median.",
    },
    Goal {
        what: "Redis, one key, 16 clients",
        wanted: "1.5 × the fastest fair scheme; ≤ 1.6 PINGs a hand-over; Jain ≥ 0.99; \
               p99 ≤ 1.5 × (waiters × one hand-over)",
        option: ALL,
        floor: "A hand-over takes about 120 µs where a PING takes 50. This process spends 62 µs on three replies and \
                notifications: 2 writes, 2 reads, 3 waits for events and 2 wake-ups of threads, three quarters of it \
                in the kernel. The server spends 22 µs in two scripts and as much around them. A PING takes between \
                25 and 180 µs here, depending on how deep the processors sleep and on other load: 1.5 to 5.5 PINGs. \
                A fair peer that polls wakes no other client; it is between 3.5 and 9 k from run to run. The p99 is \
                1.2 × where the machine does not stand still for milliseconds. Each standstill is a wait for all \
                clients.",
    },
    Goal { what: "Redis, one key, 64 clients", wanted: "as with 16", option: ALL, floor: "As with 16." },
    Goal {
        what: "Redis, commands a hand-over",
        wanted: "the same with 2, 16, 64 and 512 waiters",
        option: SCALE,
        floor: "",
    },
    Goal {
        what: "Redis, 100 000 leases held",
        wanted: "none lost, ≤ 5 % of one core, ≤ 400 bytes a lease beyond the names",
        option: SCALE,
        floor: "Met with the usual TTL of 30 s. A TTL of 3 s means 33 000 renewals a second, and each costs 6 to 12 \
                µs.",
    },
    Goal { what: "In memory, uncontended", wanted: "below the hand-made map's time", option: ALL, floor: "" },
    Goal { what: "In memory, two threads, a key each", wanted: "≥ 1.7 × one thread", option: ALL, floor: "" },
    Goal {
        what: "`LockLayer`, axum over loopback",
        wanted: "layer ≤ 1.5 × the provider's cycle, ≤ 3 allocations a request; a route within 3 % in memory, ≤ 2 round trips more on Redis",
        option: HTTP,
        floor: "The layer around a ready service meets the goal in the least of many short runs in turns, 165 ns \
                beside 115. In longer runs it is between 1.38 and 1.57; a busier machine gives the higher figures. A \
                third of its 560 additional instructions are for the text of the request, and the rest for moving a \
                future of 240 bytes. Its one allocation, as `cargo bench --bench memory -- layer` counts them, is \
                the name that the closure makes. A route has 4 700 instructions more than with a layer that does \
                nothing: 0.6 to 0.8 µs while the processor stays awake, and some µs if it sleeps before each \
                request. They are: 1 150 to name the lock by a path parameter, of which axum gives only a copy; 700 \
                for the lock; 500 for the handle that a handler may take; 1 100 for the body that frees the lock \
                with its last frame; the rest for moving request and answer. None of the layer's own functions has \
                more than a thirtieth of the time. 3 % of a route of 9 µs are 0.27 µs. On Redis a request has two \
                commands, one after the other, like two PINGs. They take 1.4 to 2.2 × as long, as raw's own two \
                commands do: a script takes the server longer than a PING. See the PINGs a cycle in the table of one \
                task.",
    },
];

/// Rows that were not measured this time stay as they were.
pub(crate) fn write_goals(measured: &Measured) -> Result<()> {
    let old = read()?;
    let mut text = "| what | goal | measured | option |\n| --- | --- | --- | --- |\n".to_owned();
    let mut notes = String::new();
    for Goal { what, wanted, option, floor } in GOALS {
        let before = old.lines().find_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            (cells.next()? == what).then(|| cells.nth(1)).flatten()
        });
        let cell = measured.get(what).map(String::as_str).or(before).unwrap_or("not measured yet");
        _ = writeln!(text, "| {what} | {wanted} | {cell} | {option} |");
        if !floor.is_empty() {
            _ = writeln!(notes, "\n**{what}.** {floor}");
        }
    }
    write_between("goals", &(text + &notes))
}

fn best<'a>(results: &'a [RedisResult], scene: &str, fair: f64) -> Option<&'a RedisResult> {
    results
        .iter()
        .filter(|of| of.scene.name == scene && Contender::is_peer(of.name) && of.jain() >= fair)
        .max_by(|one, other| one.cycles().total_cmp(&other.cycles()))
}

/// With this much, waits are even enough to speak of a fair scheme.
const FAIR: f64 = 0.95;

pub(crate) fn from_results(redis: &[RedisResult], in_memory: &[MemoryResult]) -> Measured {
    let mut measured = Measured::new();
    let ours = |scene| find(redis, scene, Contender::OURS);
    if let (Some(ours), Some(raw)) = (ours("one-task"), find(redis, "one-task", Contender::RAW)) {
        let text = format!("{:.1} commands a cycle, {:.2} × raw's time", ours.commands(), raw.ratio(ours));
        measured.insert("Redis, one task", text);
    }
    let limit = find(redis, "own-keys", Contender::GATHERED);
    if let (Some(ours), Some(best), Some(limit)) = (ours("own-keys"), best(redis, "own-keys", 0.0), limit) {
        let text = format!(
            "{:.2} × {}; the raw limit, in gathered pipelines, {:.2} × it",
            ours.ratio(best),
            best.name,
            limit.ratio(best)
        );
        measured.insert("Redis, 64 tasks, own keys", text);
    }
    if let (Some(ours), Some(best)) = (ours("one-process"), best(redis, "one-process", 0.0)) {
        let waits = ours.waits();
        let share = waits.longest().as_secs_f64() / waits.quantile(0.5).as_secs_f64();
        let ping = ours.pings.iter().map(|pings| pings.longest).max().unwrap_or_default();
        let text = format!(
            "{:.1} × {}; {} overlaps; longest wait {} ms = {share:.0} × the median, longest PING {} ms",
            ours.ratio(best),
            best.name,
            ours.overlaps(),
            millis(waits.longest()),
            millis(ping),
        );
        measured.insert("Redis, one key, one process, 64 tasks", text);
    }
    for (key, scene) in [("Redis, one key, 16 clients", "clients-16"), ("Redis, one key, 64 clients", "clients-64")] {
        let Some(ours) = ours(scene) else { continue };
        let against = match (best(redis, scene, FAIR), best(redis, scene, 0.0)) {
            (Some(fair), _) => format!("{:.2} × {}", ours.ratio(fair), fair.name),
            (None, Some(any)) => format!("no peer is fair (Jain ≥ {FAIR}); {:.2} × {}", ours.ratio(any), any.name),
            _ => continue,
        };
        let share = ours.waits().quantile(0.99).as_secs_f64() * ours.cycles() / ours.scene.clients as f64;
        let text = format!(
            "{against}; {:.2} PINGs; Jain {:.3}; p99 {} ms = {share:.2} × (waiters × one hand-over)",
            ours.pings(),
            ours.jain(),
            millis(ours.waits().quantile(0.99)),
        );
        measured.insert(key, text);
    }
    let nanos = |scene: &str, name: &str| {
        let of = in_memory.iter().find(|of| of.scene.name == scene && of.name == name)?;
        Some(median(of.nanos.clone()))
    };
    let one = nanos("memory-one-task", memory::OURS);
    if let (Some(one), Some(hand_made)) = (one, nanos("memory-one-task", memory::HAND_MADE)) {
        measured.insert("In memory, uncontended", format!("{one:.0} ns, the map {hand_made:.0} ns"));
    }
    if let (Some(one), Some(two)) = (one, nanos("memory-two-threads", memory::OURS)) {
        measured.insert("In memory, two threads, a key each", format!("{:.2} ×", one / two));
    }
    measured
}
