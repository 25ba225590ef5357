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

const ALL: &str = "`cargo run --release --manifest-path benches/peers/Cargo.toml`";
const SCALE: &str = "the same with `-- --scale`";
const MEMORY: &str = "`cargo bench --bench memory`";

/// What, goal, command. A row is found again by its first cell.
const GOALS: [(&str, &str, &str); 10] = [
    ("Redis, one task", "2 round trips a cycle, within 1.1 of the raw limit's time", ALL),
    ("Redis, 64 tasks, own keys", "2 × the best peer", ALL),
    (
        "Redis, one key, one process, 64 tasks",
        "50 × the best peer, no overlap, longest wait under 20 × the median",
        ALL,
    ),
    (
        "Redis, one key, 16 clients",
        "1.5 × the fastest fair scheme; ≤ 1.6 PINGs a hand-over; Jain ≥ 0.99; p99 ≤ 1.5 × (waiters × one hand-over)",
        ALL,
    ),
    ("Redis, one key, 64 clients", "as with 16", ALL),
    ("Redis, commands a hand-over", "the same with 2, 16, 64 and 512 waiters", SCALE),
    ("Redis, 100 000 leases held", "none lost, ≤ 5 % of one core, ≤ 400 bytes a lease beyond the names", SCALE),
    ("In memory, uncontended", "below the hand-made map's time", ALL),
    ("In memory, two threads, a key each", "≥ 1.7 × one thread", ALL),
    (
        "`LockLayer`, axum over loopback",
        "layer ≤ 1.5 × the provider's cycle; a route within 3 % in memory, ≤ 2 round trips more on Redis",
        MEMORY,
    ),
];

/// Rows that were not measured this time stay as they were.
pub(crate) fn write_goals(measured: &Measured) -> Result<()> {
    let old = read()?;
    let mut text = "| what | goal | measured | command |\n| --- | --- | --- | --- |\n".to_owned();
    for (what, goal, command) in GOALS {
        let before = old.lines().find_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            (cells.next()? == what).then(|| cells.nth(1)).flatten()
        });
        let cell = measured.get(what).map(String::as_str).or(before).unwrap_or("not measured yet");
        _ = writeln!(text, "| {what} | {goal} | {cell} | {command} |");
    }
    write_between("goals", &text)
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
    if let (Some(ours), Some(best)) = (ours("own-keys"), best(redis, "own-keys", 0.0)) {
        let text = format!("{:.2} × {}", ours.ratio(best), best.name);
        measured.insert("Redis, 64 tasks, own keys", text);
    }
    if let (Some(ours), Some(best)) = (ours("one-process"), best(redis, "one-process", 0.0)) {
        let waits = ours.waits();
        let share = waits.longest().as_secs_f64() / waits.quantile(0.5).as_secs_f64();
        let text = format!(
            "{:.1} × {}; {} overlaps; longest wait {share:.0} × the median",
            ours.ratio(best),
            best.name,
            ours.overlaps(),
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
