//! Faster operations on a [`LeaseState`], for a provider whose locks are all in this process and change only under a
//! mutex. The invariants are those of [`LeaseState`].

use std::sync::atomic::Ordering::{Acquire, Release as ReleaseOrder};

use tokio::time::Instant;

use crate::backend::packed_time::{NO_END, RELEASED};
use crate::backend::{LeaseState, Release};

impl LeaseState {
    /// Ends the lease by the holder's release. The caller holds the mutex under which every lease without an end is
    /// renewed and lost. So no other thread changes such a lease meanwhile, and a plain write is enough.
    #[inline]
    pub(crate) fn release_alone(&self) -> Release {
        if self.ends.load(Acquire) != NO_END {
            return self.release();
        }
        self.ends.store(RELEASED, ReleaseOrder);
        Release::Released
    }

    /// Whether the lock is held at the time that `now` returns. `now` is called only for a lease that has an end.
    #[inline]
    pub(crate) fn is_held_at(&self, now: impl FnOnce() -> Instant) -> bool {
        self.held_at(self.ends.load(Acquire), now)
    }
}
