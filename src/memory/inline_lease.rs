//! [`InlineLease`]: a lease that nobody but its guard knows.

use std::sync::Arc;

use super::hash::NameHash;
use super::shard::Shard;
use crate::backend::{Lease, Release};
use crate::{FencingToken, Resource};

/// A lease that has no end of its own and has not been shown to anybody: neither a handle nor a signal looks at it.
///
/// Nearly every lock in memory is held and released without anybody asking. Such a lease needs no state that is shared
/// and counted: its entry in the table says that it is held (M8), and a [`Lease`] is made of it for the first who has to
/// share it.
#[derive(Debug)]
// In this order, and the state as wide as its neighbour: so guards are moved in pieces that were each written as one,
// also where an error could stand in their place. Anything else would keep the processor waiting.
#[repr(C)]
pub(crate) struct InlineLease {
    pub(super) resource: Resource,
    pub(super) shard: Arc<Shard>,
    pub(super) fence: FencingToken,
    pub(super) state: State,
    /// By which the table finds it again.
    pub(super) hash: NameHash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum State {
    /// Not granted yet.
    ToBe,
    Granted,
    Released,
}

impl InlineLease {
    /// One that is not granted yet, to be written where it stays.
    #[inline]
    pub(super) fn to_be(resource: Resource, hash: NameHash, shard: Arc<Shard>) -> Self {
        Self { resource, shard, fence: FencingToken::saturating(0), state: State::ToBe, hash }
    }

    pub(super) fn granted(resource: Resource, fence: FencingToken, hash: NameHash, shard: Arc<Shard>) -> Self {
        Self { resource, shard, fence, state: State::Granted, hash }
    }

    #[inline]
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    #[inline]
    pub(crate) fn fence(&self) -> FencingToken {
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

    /// Whether it was granted and has not been released: what a drop has to do.
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.state == State::Granted
    }

    /// Frees the lock if it is still ours, and tells those with whom it was shared.
    #[inline]
    pub(crate) fn release(&mut self) -> Release {
        self.state = State::Released;
        self.shard.release_sole(self)
    }

    /// The lease to share: the same for everybody who asks while it is held, and one that is lost after that.
    pub(crate) fn share(&self) -> Arc<dyn Lease> {
        self.shard.share(self)
    }
}

#[cfg(all(test, not(orchestrix_loom)))]
mod tests {
    use crate::{LockError, LockGuard};

    /// Three pieces of 16 bytes, and nothing beside them for the answers in which a guard can stand.
    #[test]
    fn an_answer_is_no_bigger_than_a_guard() {
        assert_eq!(size_of::<LockGuard>(), 48);
        assert_eq!(size_of::<Result<Option<LockGuard>, LockError>>(), 48);
    }
}
