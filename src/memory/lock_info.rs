//! [`LockInfo`]: a held lock, for diagnostics.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::in_process::{Entry, NameHash, Shard};
use crate::sync::now;
use crate::{FencingToken, LockMode, Resource};

/// A held lock, for diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The resource that is locked.
    pub resource: Resource,
    /// The holder's fencing token. The highest one, if there are several holders.
    pub fencing_token: FencingToken,
    /// Who may hold it beside the present holder: the mode of the latest grant.
    pub mode: LockMode,
    /// How many hold it. With zero no caller does, and it stays taken because of [`LockOptions::at_least`](crate::LockOptions::at_least), or its leases
    /// have expired and no caller has asked for the lock since.
    pub holders: usize,
    /// How long it stays taken: how long the longest lease still lasts, or what is left of
    /// [`at_least`](crate::LockOptions::at_least). Zero if all have expired and no caller has asked for the lock since.
    pub remaining: Duration,
    /// How many callers wait for it.
    pub waiters: usize,
}

/// The state of one lock of a shard.
pub(super) fn inspect(shard: &Arc<Shard>, resource: &Resource) -> Option<LockInfo> {
    let hash = NameHash::of(resource, &shard.hasher);
    shard.table.lock().get(hash, resource).map(|entry| info(shard, entry, hash))
}

/// The state of every lock of a shard.
pub(super) fn snapshot(shard: &Arc<Shard>) -> Vec<LockInfo> {
    shard
        .table
        .lock()
        .entries()
        .map(|entry| {
            let hash = NameHash::of(&entry.resource, &shard.hasher);
            info(shard, entry, hash)
        })
        .collect()
}

fn info(shard: &Arc<Shard>, entry: &mut Entry, hash: NameHash) -> LockInfo {
    // Shows the times of a lease that renews itself.
    shard.shared(entry, hash);
    let now = now();
    let holders = || entry.holders.iter();
    LockInfo {
        resource: entry.resource.clone(),
        fencing_token: entry.fence,
        mode: entry.holders.mode(),
        holders: holders().filter(|holder| holder.is_guarded() && holder.is_held_at(|| now)).count(),
        remaining: holders().map(|holder| holder.remaining(now)).max().unwrap_or_default(),
        waiters: entry.waiters(),
    }
}
