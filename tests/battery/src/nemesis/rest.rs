//! The end of a round: all processes come to rest, and what is left is written down.

use std::io;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use orchestrix_locking::{
    DistributedLockProvider, LockError, LockOptions, RedisLockOptions, RedisLockProvider, Resource,
};

use redis::cmd;

use super::World;
use super::fleet::Fleet;
use super::process::Process;
use super::record::Record;
use crate::history::Event;
use crate::store;
use crate::support::RedisServer;
use crate::worker::{Load, Order, Quiet};

/// Longer than anything under way takes once everything is healed.
const LIMIT: Duration = Duration::from_secs(30);
/// Beyond the longest lease: a compensation that a server refused for long is tried again within a second.
const BEYOND: Duration = Duration::from_secs(2);

/// Asks every worker for rest, and returns what they have done.
pub(super) fn quiet(processes: &mut [Process]) -> io::Result<Vec<Quiet>> {
    for process in &mut *processes {
        process.order(Order::Quiet)?;
    }
    let mut all = Vec::new();
    for process in processes {
        super::lanes::still_runs(process)?;
        let silent = || io::Error::other(format!("worker {} does not come to rest", process.number()));
        all.push(process.quiet(LIMIT).ok_or_else(silent)?);
    }
    Ok(all)
}

/// What the server still has for processes that live, though they are at rest: they had something to take back, and
/// have not done so in time. Those that were killed leave theirs to the end of its lease.
pub(super) fn undone(world: &World, record: &Record) -> io::Result<()> {
    let deadline = Instant::now() + BEYOND;
    let mut left = of_the_living(world);
    while !left.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        left = of_the_living(world);
    }
    record.write(record.next(), Event::Undone { left })
}

/// Locks and entries of queues whose process listens to its inbox.
fn of_the_living(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for (server, key) in kept(world) {
        let tokens: Vec<String> = if key.ends_with("}:q") {
            let entries: Vec<String> = server.ask(cmd("LRANGE").arg(&key).arg(0).arg(-1));
            entries.iter().filter_map(|entry| entry.splitn(4, ':').nth(3)).map(str::to_owned).collect()
        } else {
            server.ask::<Option<String>>(cmd("GET").arg(&key)).into_iter().collect()
        };
        let lives = |token: &String| {
            let inbox = token.split('.').next().unwrap_or_default();
            let channel = format!("orchestrix:lock:inbox:{inbox}");
            let mut listeners = cmd("PUBSUB");
            listeners.arg("NUMSUB").arg(channel);
            world.locks.nodes().iter().any(|node| node.ask::<(String, u64)>(&listeners).1 > 0)
        };
        if tokens.iter().any(lives) {
            found.push(key);
        }
    }
    found
}

/// What processes that were killed had on names with long leases: their end is too far away to wait for.
pub(super) fn end_long_leases(world: &World) {
    for (server, key) in kept(world).iter().filter(|(_, key)| key.contains(":long:")) {
        server.ask::<u64>(cmd("DEL").arg(key));
    }
}

/// A new process takes every lock, within a lease; then nothing is left but fences.
pub(super) fn look(world: &World, load: &Load, fleet: &Fleet<'_>, quiets: &[Quiet], record: &Record) -> io::Result<()> {
    // No process holds anything; leases of killed ones end at the latest one lease from now.
    let begun = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut locks = runtime.block_on(async {
        let options = RedisLockOptions::default().connection_string(world.straight());
        let provider = RedisLockProvider::new(options).map_err(io::Error::other)?;
        let free = fleet.resources().into_iter().map(|resource| free(&provider, resource, load, begun, record));
        join_all(free).await.into_iter().collect::<io::Result<()>>()?;
        provider.close().await;
        Ok::<_, io::Error>(provider.len() as u64)
    })?;
    locks += quiets.iter().map(|quiet| quiet.locks).sum::<u64>();
    let waiters = quiets.iter().map(|quiet| quiet.waiters).sum();
    let deadline = Instant::now() + Duration::from_millis(load.ttl) + BEYOND;
    let mut keys = leftovers(world);
    while !keys.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
        keys = leftovers(world);
    }
    record.write(record.next(), Event::Left { keys, locks, waiters })?;
    runtime.block_on(async {
        let store = store::Store::connect(&world.stores.url(), load.fencing).await.map_err(io::Error::other)?;
        for resource in fleet.resources() {
            let value = store.value(&resource).await.map_err(io::Error::other)?;
            record.write(record.next(), Event::Final { resource, value })?;
        }
        Ok(())
    })
}

async fn free(
    provider: &RedisLockProvider,
    resource: String,
    load: &Load,
    begun: Instant,
    record: &Record,
) -> io::Result<()> {
    let taken = take(provider, &resource, load).await.map_err(io::Error::other)?;
    // Never taken is as late as it was waited for.
    let after = if taken { begun.elapsed() } else { LIMIT };
    record.write(record.next(), Event::Free { resource, after: after.as_nanos() as u64 })
}

async fn take(provider: &RedisLockProvider, resource: &str, load: &Load) -> Result<bool, LockError> {
    let options = LockOptions::default().ttl(Duration::from_millis(load.ttl));
    let lock = provider.create_lock(Resource::try_from(resource)?, options)?;
    let Some(guard) = lock.try_acquire(LIMIT).await? else { return Ok(false) };
    guard.release().await?;
    Ok(true)
}

fn leftovers(world: &World) -> Vec<String> {
    kept(world).into_iter().map(|(_, key)| key).collect()
}

/// Keys other than fences, and where they are: `orchestrix:lock:NAME` is a lock, `{orchestrix:lock:NAME}:q` its queue.
fn kept(world: &World) -> Vec<(&RedisServer, String)> {
    let of = |server| RedisServer::keys(server).into_iter().map(move |key| (server, key));
    world.locks.masters().into_iter().flat_map(of).filter(|(_, key)| !key.ends_with("}:f")).collect()
}
