//! Shorter ways with a [`LeaseState`], for a provider that has all of its locks in this process and orders what happens
//! to them by a mutex of its own. The invariants are those of [`LeaseState`].

use std::sync::atomic::Ordering::{Acquire, Release as ReleaseOrder};

use tokio::time::Instant;

use crate::backend::packed_time::{NO_END, RELEASED};
use crate::backend::{LeaseState, Release};

impl LeaseState {
    /// Ends the lease because we give it back. For a caller who holds the mutex under which every lease without an end
    /// is renewed and lost: nobody else changes one meanwhile, and a plain write does.
    #[inline]
    pub(crate) fn release_alone(&self) -> Release {
        if self.ends.load(Acquire) != NO_END {
            return self.release();
        }
        self.ends.store(RELEASED, ReleaseOrder);
        Release::Released
    }

    /// Whether the lock is ours at the time that `now` gives, which is asked only of a lease that has an end.
    #[inline]
    pub(crate) fn is_held_at(&self, now: impl FnOnce() -> Instant) -> bool {
        self.held_at(self.ends.load(Acquire), now)
    }
}
