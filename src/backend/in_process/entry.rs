//! [`Entry`]: one held lock in the table. The invariants are numbered in `table`.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::deferred::WakeList;
use super::fences::Fences;
use super::holder::Holder;
use super::shared_lease::SharedLease;
use super::wait_queue::{Queue, Ticket};
use super::waiter::Waiter;
use crate::backend::{LeaseState, Term};
use crate::{FencingToken, Resource};

/// A held lock and its waiters. It has 64 bytes, so that its address is computed with a shift instead of a
/// multiplication. So it does not keep its hash, which is computed again when the table grows.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) resource: Resource,
    /// The holder's fencing token.
    pub(crate) fence: FencingToken,
    pub(crate) holder: Holder,
    /// In the order of arrival (M4). Allocated for the first waiter.
    pub(crate) queue: Option<Box<Queue<Waiter>>>,
}

impl Entry {
    /// The holder's lease, to be shared: made at the first call. `None` if the lock was granted to a waiter that has
    /// not claimed it yet.
    pub(crate) fn share(&mut self, make: impl FnOnce(LeaseState) -> Arc<SharedLease>) -> Option<Arc<SharedLease>> {
        let ttl = match &self.holder {
            Holder::Shared(lease) => return Some(Arc::clone(lease)),
            Holder::Unclaimed(..) => return None,
            Holder::InProcess(ttl) => *ttl,
        };
        let state = LeaseState::held(self.resource.clone(), self.fence, Term::of_a_living_guard(ttl));
        let lease = make(state);
        self.holder = Holder::Shared(Arc::clone(&lease));
        Some(lease)
    }

    pub(crate) fn waiters(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    pub(crate) fn is_first(&self, ticket: Ticket) -> bool {
        self.queue.as_ref().and_then(|queue| queue.first()).is_some_and(|(first, _)| first == ticket)
    }

    /// Appends a waiter to the queue (M4).
    pub(crate) fn join(&mut self, ticket: Ticket, waiter: Waiter) {
        self.queue.get_or_insert_default().push(ticket, waiter);
    }

    /// Grants the lock to the first waiter, and returns the holder that it replaces, whose lease has ended. `None` if
    /// no caller waits.
    #[inline]
    pub(crate) fn grant_first(
        &mut self,
        fences: &mut Fences,
        now: impl FnOnce() -> Instant,
    ) -> Option<(Holder, WakeList)> {
        // Nearly every lock has no waiters. Then the clock is not read.
        if self.waiters() == 0 { None } else { self.grant_next(fences, now()) }
    }

    fn grant_next(&mut self, fences: &mut Fences, now: Instant) -> Option<(Holder, WakeList)> {
        let (ticket, next) = self.queue.as_mut()?.pop_first()?;
        self.fence = fences.next();
        // A lease ends within a day, and a clock does not.
        let ends = now.checked_add(next.unclaimed_lease).unwrap_or(now);
        let before = std::mem::replace(&mut self.holder, Holder::Unclaimed(ticket, ends));
        // A lease that renews itself once it is claimed has no end that the first waiter has to know of. If it is never
        // claimed, the other waiters check again by their own timers (M6).
        let first = if next.has_end { self.wake_first() } else { WakeList::default() };
        Some((before, WakeList { granted: Some(next.waker), ..first }))
    }

    /// The waker of a waiter. `None` if it is not in the queue.
    pub(crate) fn waker_mut(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        Some(&mut self.queue.as_mut()?.get_mut(ticket)?.waker)
    }

    /// The first waiter's waker, if the holder's lease has an end that this waiter has to know of (M6).
    ///
    /// Taken and not cloned, since a clone runs the user's code, and this is under the mutex. Once woken, the waiter
    /// polls and leaves its waker again. What happens in between it finds at that poll.
    pub(crate) fn wake_first(&mut self) -> WakeList {
        if self.holder.ends().is_none() {
            return WakeList::default();
        }
        let first = self.queue.as_mut().and_then(|queue| queue.first_mut());
        WakeList {
            granted: None,
            first: first.map(|waiter| std::mem::replace(&mut waiter.waker, Waker::noop().clone())),
        }
    }

    /// The lease of the holder, if it is shared, and the wakers of all waiters.
    pub(crate) fn into_parts(self) -> (Option<Arc<SharedLease>>, impl Iterator<Item = Waker>) {
        let waiters = self.queue.into_iter().flat_map(|queue| queue.into_waiters());
        (self.holder.into_shared(), waiters.map(|waiter| waiter.waker))
    }
}

#[cfg(all(test, not(orchestrix_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_cache_line() {
        assert_eq!(size_of::<Entry>(), 64);
    }
}
