//! [`LockInfo`]: a held lock, for diagnostics.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::in_process::{Entry, NameHash, Shard};
use crate::sync::now;
use crate::{FencingToken, Resource};

/// A held lock, for diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// The resource that is locked.
    pub resource: Resource,
    /// The holder's fencing token.
    pub fencing_token: FencingToken,
    /// How long the holder's lease still lasts; zero if it has expired and no caller has asked for the lock since.
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
    let remaining = match shard.shared(entry, hash) {
        Some(lease) => lease.state.remaining(),
        None => entry.holder.ends().map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now())),
    };
    LockInfo { resource: entry.resource.clone(), fencing_token: entry.fence, remaining, waiters: entry.waiters() }
}
