//! [`Sole`]: a lease that nobody but its guard knows.

use std::sync::Arc;

use super::shard::Shard;
use crate::provider::{Lease, Release};
use crate::{FencingToken, Resource};

/// A lease that has no end of its own and has not been shown to anybody: neither a handle nor a signal looks at it.
///
/// Nearly every lock in memory is held and released without anybody asking. Such a lease needs no state that is shared
/// and counted: its entry in the table says that it is held (M8), and a [`Lease`] is made of it for the first who has to
/// share it.
#[derive(Debug)]
pub(crate) struct Sole {
    pub(super) resource: Resource,
    pub(super) fence: FencingToken,
    /// The hash of the name, by which the table finds it again.
    pub(super) hash: u64,
    pub(super) shard: Arc<Shard>,
}

impl Sole {
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    pub(crate) fn fence(&self) -> FencingToken {
        self.fence
    }

    /// Whether the lock is held still. For a lease that has not been released.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.shard.is_open()
    }

    /// Frees the lock if it is still ours, and tells those with whom it was shared.
    #[inline]
    pub(crate) fn release(&self) -> Release {
        self.shard.release_sole(self)
    }

    /// The lease to share: the same for everybody who asks while it is held, and one that is lost after that.
    pub(crate) fn share(&self) -> Arc<dyn Lease> {
        self.shard.share(self)
    }
}
