//! [`InProcessLease`]: a lease that only its guard refers to. It needs no allocation.

use std::sync::Arc;
use std::time::Duration;

use super::hash::NameHash;
use super::shard::{Shard, TableGuard};
use crate::backend::{Lease, Release};
use crate::{FencingToken, Resource};

/// A lease that has no end of its own and is not shared with a handle or a loss signal.
///
/// Nearly every lock in memory is acquired and released without either. Such a lease needs no reference-counted state:
/// its entry in the table says that it is held (M8). The first handle or loss signal makes a [`Lease`] of it.
// The order of the fields and the width of `state` matter: a guard is moved in 16-byte pieces. If a piece was written
// by two smaller stores just before, the load of it stalls, since store forwarding fails.
#[repr(C)]
pub(crate) struct InProcessLease {
    resource: Resource,
    shard: Arc<Shard>,
    fence: FencingToken,
    state: State,
    /// The hash by which the table finds the entry.
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

/// The shard of a lease that was not granted, still locked: the lock is held, or the shard is closed or due for a
/// sweep.
pub(crate) struct NotGranted<'a> {
    pub(crate) shard: &'a Arc<Shard>,
    pub(crate) table: TableGuard<'a>,
}

impl InProcessLease {
    /// A lease that is not granted yet, to be written where the caller keeps it.
    #[inline]
    pub(crate) fn ungranted(resource: Resource, hash: NameHash, shard: Arc<Shard>) -> Self {
        Self { resource, shard, fence: FencingToken::saturating(0), state: State::Ungranted, hash }
    }

    pub(crate) fn granted(resource: Resource, fence: FencingToken, hash: NameHash, shard: Arc<Shard>) -> Self {
        Self { resource, shard, fence, state: State::Granted, hash }
    }

    /// Grants the lease if the lock is free, and returns `None`. Otherwise the shard stays locked, and the caller
    /// continues.
    #[inline]
    pub(crate) fn grant(&mut self, ttl: Duration) -> Option<NotGranted<'_>> {
        let mut table = self.shard.table.lock();
        if table.acquire_in_process(self.hash, &self.resource, ttl, &mut self.fence) {
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

    /// Whether the lock is held.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.state == State::Granted && self.shard.is_open()
    }

    /// Whether the provider has closed. Such a lease is lost in no other way.
    #[inline]
    pub(crate) fn was_closed(&self) -> bool {
        !self.shard.is_open()
    }

    /// Whether it was granted and has not been released. Then a drop has to release it.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.state == State::Granted
    }

    /// Releases the lock if this lease still holds it. Handles that share the lease read it as released from then on.
    #[inline]
    pub(crate) fn release(&mut self) -> Release {
        self.state = State::Released;
        self.shard.release_in_process(self.hash, self.fence)
    }

    /// The lease for handles and loss signals: the same one at every call while the lock is held, and a lost one after
    /// the provider has closed.
    pub(crate) fn share(&self) -> Arc<dyn Lease> {
        self.shard.share(&self.resource, self.hash, self.fence)
    }
}
