//! [`InProcessLease`]: a lease that its guard alone knows, and that takes no allocation.

use std::sync::Arc;
use std::time::Duration;

use super::hash::NameHash;
use super::shard::{Shard, TableGuard};
use crate::backend::{Lease, Release};
use crate::{FencingToken, Resource};

/// A lease that has no end of its own and has not been shown to anybody: neither a handle nor a signal looks at it.
///
/// Nearly every lock in memory is held and released without anybody asking. Such a lease needs no state that is shared
/// and counted: its entry in the table says that it is held (M8), and a [`Lease`] is made of it for the first who has to
/// share it.
// In this order, and the state as wide as its neighbour: so guards are moved in pieces that were each written as one,
// also where an error could stand in their place. Anything else would keep the processor waiting.
#[repr(C)]
pub(crate) struct InProcessLease {
    resource: Resource,
    shard: Arc<Shard>,
    fence: FencingToken,
    state: State,
    /// By which the table finds it again.
    hash: NameHash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum State {
    /// Not granted yet.
    Ungranted,
    Granted,
    Released,
}

/// The shard of a lease that was not granted, still locked: the name is taken, or the shard is closed or due to be swept.
pub(crate) struct NotGranted<'a> {
    pub(crate) shard: &'a Arc<Shard>,
    pub(crate) table: TableGuard<'a>,
}

impl InProcessLease {
    /// One that is not granted yet, to be written where it stays.
    #[inline]
    pub(crate) fn ungranted(resource: Resource, hash: NameHash, shard: Arc<Shard>) -> Self {
        Self { resource, shard, fence: FencingToken::saturating(0), state: State::Ungranted, hash }
    }

    pub(crate) fn granted(resource: Resource, fence: FencingToken, hash: NameHash, shard: Arc<Shard>) -> Self {
        Self { resource, shard, fence, state: State::Granted, hash }
    }

    /// Grants the lease if the name is free: `None` then. Otherwise the shard is left locked for the caller to go on.
    #[inline]
    pub(crate) fn grant(&mut self, ttl: Duration) -> Option<NotGranted<'_>> {
        let mut table = self.shard.table.lock();
        if table.arrive_in_process(self.hash, &self.resource, ttl, &mut self.fence) {
            self.state = State::Granted;
            return None;
        }
        Some(NotGranted { shard: &self.shard, table })
    }

    #[inline]
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    #[inline]
    pub(crate) fn fencing_token(&self) -> FencingToken {
        self.fence
    }

    /// Whether the lock is held still.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.state == State::Granted && self.shard.is_open()
    }

    /// Whether the provider has closed, which is the only way in which such a lease is lost.
    #[inline]
    pub(crate) fn was_closed(&self) -> bool {
        !self.shard.is_open()
    }

    /// Whether it was granted and has not been released: then a drop releases it.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.state == State::Granted
    }

    /// Frees the lock if it is still ours, and tells those with whom it was shared.
    #[inline]
    pub(crate) fn release(&mut self) -> Release {
        self.state = State::Released;
        self.shard.release_in_process(self.hash, self.fence)
    }

    /// The lease to share: the same for every caller while it is held, and one that is lost after that.
    pub(crate) fn share(&self) -> Arc<dyn Lease> {
        self.shard.share(&self.resource, self.hash, self.fence)
    }
}
