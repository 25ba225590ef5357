//! [`Entry`]: one held lock in the table. The invariants are numbered in `table`.

use std::cell::OnceCell;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::deferred::{Deferred, WakeList};
use super::fences::Fences;
use super::holder::Holder;
use super::holders::{Ended, Grant, Holders};
use super::several::Several;
use super::shared_lease::SharedLease;
use super::wait_queue::{Queue, Ticket};
use super::waiter::Waiter;
use crate::backend::{LeaseState, Term};
use crate::sync::now;
use crate::{FencingToken, LockMode, Resource};

/// A held lock and its waiters. It has 64 bytes, so that its address is computed with a shift instead of a
/// multiplication. So it does not keep its hash, which is computed again when the table grows.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) resource: Resource,
    /// The fencing token of the latest grant. All readers that hold the lock together have it.
    pub(crate) fence: FencingToken,
    pub(crate) holders: Holders,
    /// In the order of arrival (M4). Allocated for the first waiter.
    pub(crate) queue: Option<Box<Queue<Waiter>>>,
}

impl Entry {
    /// The lease of the one holder, to be shared: made at the first call. `None` if there is no such lease: the lock was
    /// granted to a waiter that has not claimed it yet, or it is kept, or there are several holders.
    pub(crate) fn share(&mut self, make: impl FnOnce(LeaseState) -> Arc<SharedLease>) -> Option<Arc<SharedLease>> {
        let ttl = match &self.holders {
            Holders::One(Holder::Shared(lease)) => return Some(Arc::clone(lease)),
            Holders::One(Holder::InProcess(ttl)) => *ttl,
            Holders::One(Holder::Unclaimed(..) | Holder::Kept(_)) | Holders::Several(_) => return None,
        };
        let state = LeaseState::held(self.resource.clone(), self.fence, Term::of_a_living_guard(ttl));
        let lease = make(state);
        self.holders = Holders::One(Holder::Shared(Arc::clone(&lease)));
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

    /// Removes the holders whose leases have ended by the clock (M3), and grants the lock to waiters in their place.
    /// `None` if there is neither a holder nor a waiter then.
    pub(super) fn settle(&mut self, fences: &mut Fences, clock: &OnceCell<Instant>) -> Option<WakeList> {
        match self.holders.remove_ended(clock) {
            Ended::None => Some(WakeList::default()),
            Ended::Some => Some(self.grant_beside(fences)),
            // The next lease begins now, and not at the time of `clock`, which may have been read before the mutex was
            // taken. A lease that ended by the clock still has its guard, so this drops no last reference under the
            // mutex.
            Ended::All => self.grant_first(fences, now).map(|(_, wake)| wake),
        }
    }

    /// Grants the lock to a newcomer that may hold it beside the present holders, while no caller waits (M4). `None` if it
    /// has to wait.
    pub(super) fn grant_newcomer(
        &mut self,
        mode: LockMode,
        fences: &mut Fences,
        holder: impl FnOnce(Grant) -> Holder,
    ) -> Option<FencingToken> {
        if self.waiters() > 0 || !self.holders.admits(mode) {
            return None;
        }
        let Holders::Several(several) = &mut self.holders else { return None };
        if let LockMode::Permits(_) = mode {
            self.fence = fences.next();
        }
        let grant = Grant { fence: self.fence, place: several.next_place() };
        several.add(mode, holder(grant));
        Some(self.fence)
    }

    /// Grants the lock to the first waiter, and returns the holders that it replaces, whose leases have ended. `None` if
    /// no caller waits.
    #[inline]
    pub(crate) fn grant_first(
        &mut self,
        fences: &mut Fences,
        now: impl FnOnce() -> Instant,
    ) -> Option<(Holders, WakeList)> {
        // Nearly every lock has no waiters. Then the clock is not read.
        if self.waiters() == 0 { None } else { self.grant_next(fences, now()) }
    }

    fn grant_next(&mut self, fences: &mut Fences, now: Instant) -> Option<(Holders, WakeList)> {
        let (ticket, next) = self.queue.as_mut()?.pop_first()?;
        self.fence = fences.next();
        let ends = next.unclaimed_until(now);
        if next.mode != LockMode::Exclusive {
            return Some(self.grant_together(ticket, next, fences, now));
        }
        let before = std::mem::replace(&mut self.holders, Holders::One(Holder::Unclaimed(ticket, ends)));
        // A lease that renews itself once it is claimed has no end that the first waiter has to know of. If it is never
        // claimed, the other waiters check again by their own timers (M6).
        let first = if next.has_end { self.wake_first() } else { WakeList::default() };
        Some((before, WakeList { granted: Some(next.waker), ..first }))
    }

    /// Grants the lock to a waiter that others may hold it beside, and to those directly behind it that may.
    #[cold]
    fn grant_together(
        &mut self,
        ticket: Ticket,
        first: Waiter,
        fences: &mut Fences,
        now: Instant,
    ) -> (Holders, WakeList) {
        let mut several = Several::new(first.mode);
        several.add_unclaimed(first.mode, ticket, self.fence, first.unclaimed_until(now));
        let before = std::mem::replace(&mut self.holders, Holders::Several(Box::new(several)));
        let beside = self.grant_beside(fences);
        // All of these are new to the waiter that is the first now.
        let first_waiter = if beside.first.is_none() { self.wake_first() } else { WakeList::default() };
        (before, WakeList { granted: Some(first.waker), first: beside.first.or(first_waiter.first), ..beside })
    }

    /// Grants the lock to the first waiters as long as they may hold it beside its holders (M4).
    pub(super) fn grant_beside(&mut self, fences: &mut Fences) -> WakeList {
        let mut wake = WakeList::default();
        let (Holders::Several(several), Some(queue)) = (&mut self.holders, &mut self.queue) else { return wake };
        let mut at = None;
        while queue.first().is_some_and(|(_, first)| several.admits(first.mode)) {
            let Some((ticket, next)) = queue.pop_first() else { break };
            let ends = next.unclaimed_until(*at.get_or_insert_with(now));
            if let LockMode::Permits(_) = next.mode {
                self.fence = fences.next();
            }
            several.add_unclaimed(next.mode, ticket, self.fence, ends);
            wake.others.push(next.waker);
        }
        if !wake.others.is_empty() {
            wake.first = self.wake_first().first;
        }
        wake
    }

    /// Removes the holder at this place among several, and grants the lock to waiters instead. `None` if it was the last
    /// holder, and no caller waits: then the entry has to be removed.
    pub(super) fn replace_one_of_several(&mut self, place: u32, fences: &mut Fences) -> Option<Deferred<Holders>> {
        let Holders::Several(several) = &mut self.holders else { return None };
        let removed = several.remove(place);
        if several.is_empty() {
            let (emptied, wake) = self.grant_first(fences, now)?;
            drop(emptied);
            return Some(Deferred { _removed: removed.map(Holders::One), wake });
        }
        Some(Deferred { _removed: removed.map(Holders::One), wake: self.grant_beside(fences) })
    }

    /// The grant of this waiter and its end, if the lock was granted to it and it has not claimed it yet.
    pub(crate) fn unclaimed_by(&self, ticket: Ticket) -> Option<(Grant, Instant)> {
        match &self.holders {
            Holders::One(Holder::Unclaimed(of, ends)) if *of == ticket => {
                Some((Grant { fence: self.fence, place: 0 }, *ends))
            }
            Holders::One(_) => None,
            Holders::Several(several) => {
                several.unclaimed_by(ticket).map(|(place, fence, ends)| (Grant { fence, place }, ends))
            }
        }
    }

    /// Replaces a grant that was not claimed by its lease.
    pub(crate) fn claim(&mut self, ticket: Ticket, holder: Holder) {
        match &mut self.holders {
            Holders::One(unclaimed) => *unclaimed = holder,
            Holders::Several(several) => several.claim(ticket, holder),
        }
    }

    /// Takes note of the end of a lease that may be earlier than before (M6).
    pub(super) fn extended(&mut self, lease: &SharedLease) -> WakeList {
        if let Holders::Several(several) = &mut self.holders {
            several.ends_at(lease.state.ends());
        }
        self.wake_first()
    }

    /// The waker of a waiter. `None` if it is not in the queue.
    pub(crate) fn waker_mut(&mut self, ticket: Ticket) -> Option<&mut Waker> {
        Some(&mut self.queue.as_mut()?.get_mut(ticket)?.waker)
    }

    /// The first waiter's waker, if a holder's lease has an end that this waiter has to know of (M6).
    ///
    /// Taken and not cloned, since a clone runs the user's code, and this is under the mutex. Once woken, the waiter
    /// polls and leaves its waker again. What happens in between it finds at that poll.
    pub(crate) fn wake_first(&mut self) -> WakeList {
        if self.holders.ends().is_none() {
            return WakeList::default();
        }
        let first = self.queue.as_mut().and_then(|queue| queue.first_mut());
        WakeList {
            first: first.map(|waiter| std::mem::replace(&mut waiter.waker, Waker::noop().clone())),
            ..WakeList::default()
        }
    }

    /// The leases of the holders, as far as they are shared, and the wakers of all waiters.
    pub(crate) fn into_parts(self) -> (impl Iterator<Item = Arc<SharedLease>>, impl Iterator<Item = Waker>) {
        let waiters = self.queue.into_iter().flat_map(|queue| queue.into_waiters());
        (self.holders.into_shared(), waiters.map(|waiter| waiter.waker))
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
