//! [`Entry`]: one name of the table. The invariants are numbered in `table`.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::after::Wake;
use super::holder::Holder;
use super::lease::{MemoryLease, has_end, untaken_term};
use super::queue::{Queue, Ticket};
use super::table::Fences;
use crate::provider::{LeaseState, Seat, Term, replace_waker};
use crate::{FencingToken, LockOptions, Resource};

/// A lock that is held, and who waits for it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) resource: Resource,
    pub(super) hash: u64,
    /// The holder's.
    pub(super) fence: FencingToken,
    pub(super) holder: Holder,
    /// In the order of arrival (M4). Made for the first who waits.
    pub(super) queue: Option<Box<Queue<Waiter>>>,
}

/// A pending lease in a queue.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) lease: Arc<MemoryLease>,
    pub(super) options: LockOptions,
    pub(super) waker: Waker,
    /// Given back with the place, however that ends.
    pub(super) _seat: Seat,
}

impl Entry {
    pub(super) fn ends(&self) -> Option<Instant> {
        self.holder.ends()
    }

    /// The holder's lease as others see it, made for the first of them.
    pub(super) fn share(&mut self, make: impl FnOnce(LeaseState, u64) -> Arc<MemoryLease>) -> Arc<MemoryLease> {
        let ttl = match &self.holder {
            Holder::Shared(lease) => return Arc::clone(lease),
            Holder::Sole(ttl) => *ttl,
        };
        let state = LeaseState::held(self.resource.clone(), self.fence, Term::of_a_living_guard(ttl));
        let lease = make(state, self.hash);
        self.holder = Holder::Shared(Arc::clone(&lease));
        lease
    }

    /// Whether the holder's lease is the one that was granted with this fence.
    #[inline]
    pub(super) fn is_of(&self, hash: u64, fence: FencingToken) -> bool {
        self.fence == fence && self.hash == hash
    }

    pub(super) fn waiters(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    pub(super) fn is_first(&self, ticket: Ticket) -> bool {
        self.first().is_some_and(|(first, _)| first == ticket)
    }

    fn first(&self) -> Option<(Ticket, &Waiter)> {
        self.queue.as_ref()?.first()
    }

    /// Puts a pending lease at the end of the queue (M4).
    pub(super) fn join(&mut self, ticket: Ticket, waiter: Waiter) {
        self.queue.get_or_insert_default().push(ticket, waiter);
    }

    /// Grants the lock to the first waiter in place of a holder that has ended, who is returned. `None` if nobody waits.
    #[inline]
    pub(super) fn grant_first(&mut self, fences: &mut Fences, now: impl FnOnce() -> Instant) -> Option<(Holder, Wake)> {
        // A lock that nobody waits for, nearly every one, needs neither a look at the queue nor one at the clock.
        if self.waiters() == 0 { None } else { self.grant_next(fences, now()) }
    }

    fn grant_next(&mut self, fences: &mut Fences, now: Instant) -> Option<(Holder, Wake)> {
        let queue = self.queue.as_mut()?;
        while let Some(next) = queue.pop_first() {
            let fence = fences.next();
            // A pending lease in a queue cannot have ended (M2), so this grants.
            if next.lease.state.grant(fence, untaken_term(&next.options, now)) {
                self.fence = fence;
                let before = std::mem::replace(&mut self.holder, Holder::Shared(next.lease));
                // A lease that will renew itself once it is taken has no end to tell of. Should its waiter never come,
                // the others look again by themselves (M6).
                let first = if has_end(&next.options) { self.wake_first() } else { Wake::default() };
                return Some((before, Wake { granted: Some(next.waker), ..first }));
            }
        }
        None
    }

    /// Leaves the waker of a waiter. Returns the one that was there, to be dropped once the mutex is free.
    pub(super) fn set_waker(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        replace_waker(&mut self.queue.as_mut()?.get_mut(ticket)?.waker, waker)
    }

    /// The first waiter's waker, if there is an end of the holder's lease that it has to know of (M6).
    pub(super) fn wake_first(&self) -> Wake {
        let first = self.first().filter(|_| self.holder.ends().is_some());
        Wake { granted: None, first: first.map(|(_, waiter)| waiter.waker.clone()) }
    }

    /// The leases of the holder, if it is shared, and of everybody who waits, with the wakers of the latter.
    pub(super) fn into_leases(self) -> impl Iterator<Item = (Arc<MemoryLease>, Option<Waker>)> {
        let waiters = self.queue.into_iter().flat_map(|queue| queue.into_waiters());
        self.holder
            .into_shared()
            .map(|holder| (holder, None))
            .into_iter()
            .chain(waiters.map(|waiter| (waiter.lease, Some(waiter.waker))))
    }
}
