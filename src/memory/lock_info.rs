//! [`LockInfo`]: a lock as diagnostics show it.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::in_process::{Entry, NameHash, Shard};
use crate::sync::now;
use crate::{FencingToken, Resource};

/// A held lock, for diagnostics.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInfo {
    /// What is locked.
    pub resource: Resource,
    /// The holder's token.
    pub fencing_token: FencingToken,
    /// What is left of the holder's lease; zero if it has expired and the lock has not been asked for since.
    pub remaining: Duration,
    /// How many wait for it.
    pub waiters: usize,
}

/// What a shard knows of one name.
pub(super) fn inspect(shard: &Arc<Shard>, resource: &Resource) -> Option<LockInfo> {
    let hash = NameHash::of(resource, &shard.hasher);
    shard.table.lock().get(hash, resource).map(|entry| info(shard, entry))
}

/// What a shard knows of every name.
pub(super) fn snapshot(shard: &Arc<Shard>) -> Vec<LockInfo> {
    shard.table.lock().entries().map(|entry| info(shard, entry)).collect()
}

fn info(shard: &Arc<Shard>, entry: &mut Entry) -> LockInfo {
    let remaining = match shard.shared(entry) {
        Some(lease) => lease.state.remaining(),
        None => entry.holder.ends().map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now())),
    };
    LockInfo { resource: entry.resource.clone(), fencing_token: entry.fence, remaining, waiters: entry.waiters() }
}
