//! Many leases held at once by one process, and many waiters on one key.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockError, LockGuard, LockOptions, Resource};

use crate::Result;
use crate::redis::ours::Ours;
use crate::redis::{Contender, Keys, Scene};
use crate::report::Measured;
use crate::server::Server;

const WAITERS: [usize; 6] = [2, 16, 64, 128, 256, 512];
const GOAL: usize = 100_000;

/// Of this process, in bytes.
fn resident() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? * 1024.0)
}

/// Of this process, user and system, in seconds. Of a hundredth's precision.
fn processor_time() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some((fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?) / 100.0)
}

pub(crate) async fn run(contender: &Contender, time: Duration) -> Result<(String, Measured)> {
    let mut text =
        "| leases held | TTL | bytes a lease beyond the names | renewals, of one core | one more cycle, µs | \
                    lost | unavailable |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    let mut measured = Measured::new();
    let mut found = Vec::new();
    for ttl in [30, 3] {
        for count in [1, 1_000, GOAL] {
            let server = Server::start()?;
            let held = held(&server.url(), count, Duration::from_secs(ttl), time).await?;
            // Later the allocator has what the leases before have left.
            let first = ttl == 30 && count >= 1_000;
            let bytes = if first { format!("{:.0}", held.bytes) } else { "-".to_owned() };
            let share = held.share * 100.0;
            let line = format!(
                "| {count} | {ttl} s | {bytes} | {share:.1} % | {:.0} | {} | {} |",
                held.cycle, held.lost, held.refused
            );
            println!("{line}");
            _ = writeln!(text, "{line}");
            if count == GOAL {
                let of_each = if first { format!(", {bytes} bytes") } else { String::new() };
                found.push(format!(
                    "TTL {ttl} s: {} lost, {} times unavailable, {share:.1} % of one core{of_each}",
                    held.lost, held.refused
                ));
            }
        }
    }
    measured.insert("Redis, 100 000 leases held", found.join("; "));

    text += "\n| waiting clients | hand-overs/s | commands a hand-over | p99 wait, ms | Jain |\n\
             | ---: | ---: | ---: | ---: | ---: |\n";
    let server = Server::start()?;
    let mut commands = Vec::new();
    for clients in WAITERS {
        let scene = Scene { name: "waiters", title: "", clients, tasks: 1, keys: Keys::One };
        let round = contender.round(&server.url(), &scene, time).await?;
        let each = round.commands as f64 / round.all_cycles as f64;
        let line = format!(
            "| {clients} | {:.0} | {each:.2} | {:.1} | {:.3} |",
            round.cycles,
            round.waits.quantile(0.99).as_secs_f64() * 1e3,
            crate::figures::jain(&round.shares),
        );
        println!("{line}");
        _ = writeln!(text, "{line}");
        commands.push(format!("{each:.2} with {clients}"));
    }
    measured.insert("Redis, commands a hand-over", commands.join(", "));
    Ok((text, measured))
}

struct Held {
    bytes: f64,
    share: f64,
    cycle: f64,
    lost: usize,
    /// Acquires that were answered with "unavailable", and repeated.
    refused: usize,
}

async fn held(url: &str, count: usize, ttl: Duration, time: Duration) -> Result<Held> {
    let Ours(provider) = Ours::connect(url)?;
    let options = LockOptions::default().ttl(ttl);
    let probe = provider.create_lock(Resource::try_from("probe")?, LockOptions::default())?;
    probe.acquire().await?.release().await?;
    let names = (0..count).map(|number| Resource::try_from(format!("lease:{number}")));
    let names = names.collect::<std::result::Result<Vec<_>, _>>()?;

    let parts: Vec<_> = names.chunks(count.div_ceil(64)).map(<[_]>::to_vec).collect();

    let before = resident().unwrap_or_default();
    let mut tasks = Vec::new();
    for part in parts {
        let provider = provider.clone();
        tasks.push(tokio::spawn(async move {
            let mut guards: Vec<LockGuard> = Vec::with_capacity(part.len());
            let mut refused = 0;
            for name in part {
                let lock = provider.create_lock(name, options)?;
                loop {
                    match lock.acquire().await {
                        Ok(guard) => break guards.push(guard),
                        Err(LockError::Unavailable { .. }) if refused < 1_000 => refused += 1,
                        Err(error) => return Err(error),
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Ok((guards, refused))
        }));
    }
    let mut guards = Vec::new();
    let mut refused = 0;
    for task in tasks {
        let (part, times) = task.await??;
        guards.push(part);
        refused += times;
    }
    // After one renewal of all, what renewing needs is there too.
    tokio::time::sleep(ttl / 2).await;
    let bytes = (resident().unwrap_or_default() - before) / count as f64;

    let (used, begun) = (processor_time().unwrap_or_default(), Instant::now());
    tokio::time::sleep(ttl).await;
    let share = (processor_time().unwrap_or_default() - used) / begun.elapsed().as_secs_f64();

    let (begun, mut cycles) = (Instant::now(), 0.0);
    while begun.elapsed() < time {
        if let Ok(guard) = probe.acquire().await {
            _ = guard.release().await;
            cycles += 1.0;
        }
    }
    let cycle = begun.elapsed().as_secs_f64() * 1e6 / cycles;
    let lost = guards.iter().flatten().filter(|guard| !guard.is_held()).count();
    drop(guards);
    provider.close().await;
    Ok(Held { bytes, share, cycle, lost, refused })
}
