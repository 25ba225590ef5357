//! Shorter ways with a [`LeaseState`], for a provider that has all of its locks in this process and orders what happens
//! to them by a mutex of its own. The invariants are those of [`LeaseState`].

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release as ReleaseOrder};
use std::time::Duration;

use tokio::time::Instant;

use super::moment::{LOST, NO_END, PENDING, RELEASED, written};
use super::state::Inner;
use super::watch::Watchers;
use super::{LeaseState, Release, Term};
use crate::sync::{AtomicU64, Mutex, now};
use crate::{FencingToken, Resource};

impl LeaseState {
    /// A lease that is granted by [`grant_unseen`](Self::grant_unseen) if its lock is free, and else has to wait.
    #[inline]
    pub(crate) fn unseen(resource: Resource, term: Term) -> Self {
        Self {
            resource,
            fence: AtomicU64::new(0),
            ends: AtomicU64::new(PENDING),
            inner: Mutex::new(Inner { term: Some(term), watchers: Watchers::default() }),
        }
    }

    /// Grants a lease of [`unseen`](Self::unseen), which ends as its term does. For a caller who has shown it to nobody
    /// yet: then no other thread can change it (L1), and plain writes do, which the mutex publishes under which it is
    /// shown.
    #[inline]
    pub(crate) fn grant_unseen(&self, fence: FencingToken, ends: Option<Instant>) {
        self.fence.store(fence.get(), Relaxed);
        self.ends.store(written(ends), ReleaseOrder);
    }

    /// Takes a lease that was granted while its caller waited, and lets it renew itself from now on, by `renewed`, if it
    /// is to. `None` if it has not been granted yet, `false` if it is not held any more.
    pub(crate) fn take(&self, renewed: Option<Duration>) -> Option<bool> {
        if self.is_pending() {
            return None;
        }
        Some(renewed.map_or_else(|| self.is_held(), |ttl| self.renew_itself(ttl)))
    }

    fn renew_itself(&self, ttl: Duration) -> bool {
        let mut inner = self.inner.lock();
        let Some(term) = inner.term.map(|term| term.self_renewing(ttl)) else { return false };
        let ends = written(term.ends());
        loop {
            let before = self.ends.load(Acquire);
            // Where no end is to come the clock is not asked: what nobody has seen to be lost is not, and never will be.
            // Who sees a loss says so here before anybody else has the lock (L3).
            let held =
                if ends == NO_END { !matches!(before, PENDING | RELEASED | LOST) } else { self.held_at(before, now) };
            if !held {
                return false;
            }
            // The end only moves away, so that no watcher needs to know (L4).
            if self.ends.compare_exchange(before, ends, ReleaseOrder, Relaxed).is_ok() {
                inner.term = Some(term);
                return true;
            }
        }
    }

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

    /// Whether the lock is ours at `now`, for whoever has read the clock.
    #[inline]
    pub(crate) fn is_held_at(&self, now: Instant) -> bool {
        self.held_at(self.ends.load(Acquire), || now)
    }
}
