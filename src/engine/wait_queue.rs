//! [`WaitQueue`]: the callers of this process that want one lock, first come, first served.

use std::collections::BTreeMap;

use super::host::{Host, Waiter};
use crate::LockMode;
use crate::backend::WaiterPermit;

/// The local wait queue of one lock. Most locks have none, and most of the others have one caller in it.
#[derive(Debug)]
pub(super) struct WaitQueue<H: Host>(Option<Box<Queue<H>>>);

#[derive(Debug)]
struct Queue<H: Host> {
    first: (u64, Place<H>),
    /// In the order of their tickets, so that one in the middle leaves in little time.
    rest: BTreeMap<u64, Place<H>>,
    /// How many are known to wait.
    admitted: usize,
}

/// When a caller came: the lower half of its ticket. In few bytes, since it goes with a call; two that are compared are never
/// two thousand million callers apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival(u32);

impl Arrival {
    #[allow(clippy::cast_possible_truncation, reason = "the lower half is what is compared")]
    pub(super) fn new(ticket: u64) -> Self {
        Self(ticket as u32)
    }

    fn is_after(self, ticket: u64) -> bool {
        let ahead = self.0.wrapping_sub(Self::new(ticket).0);
        ahead != 0 && ahead <= u32::MAX / 2
    }
}

/// One caller's place.
#[derive(Debug)]
struct Place<H: Host> {
    waiter: H::Waiter,
    /// Counts against the limit of waiters for as long as the place exists. The first caller that asks for a lock that may
    /// be free takes none before the server has said that the lock is held.
    permit: Option<WaiterPermit>,
    /// A lease for this caller was over before the grant arrived.
    was_late: bool,
}

impl<H: Host> Default for WaitQueue<H> {
    fn default() -> Self {
        Self(None)
    }
}

impl<H: Host> WaitQueue<H> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many callers are known to wait, rather than to ask for a lock that may be free.
    pub(super) fn admitted(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.admitted)
    }

    /// Whether there are fewer callers than so many.
    pub(super) fn has_fewer_than(&self, count: usize) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.rest.len() + 1 < count)
    }

    /// The first caller of whom it is not known whether it has to wait.
    pub(super) fn first_unadmitted(&self) -> Option<&H::Waiter> {
        self.places().find(|place| place.permit.is_none()).map(|place| &place.waiter)
    }

    /// Whether all callers want the lock in this mode.
    pub(super) fn are_all_in(&self, mode: LockMode) -> bool {
        self.iter().all(|waiter| waiter.options().configured_mode() == mode)
    }

    /// A caller joins. Its ticket is higher than all before it.
    pub(super) fn join(&mut self, ticket: u64, waiter: H::Waiter, permit: Option<WaiterPermit>) {
        let place = Place { waiter, permit, was_late: false };
        match &mut self.0 {
            None => {
                let admitted = usize::from(place.permit.is_some());
                self.0 = Some(Box::new(Queue { first: (ticket, place), rest: BTreeMap::new(), admitted }));
            }
            Some(queue) => {
                queue.admitted += usize::from(place.permit.is_some());
                queue.rest.insert(ticket, place);
            }
        }
    }

    /// A caller leaves. `false` if it is not in the queue any more.
    pub(super) fn leave(&mut self, ticket: u64) -> bool {
        match &mut self.0 {
            None => false,
            Some(queue) if queue.first.0 == ticket => self.pop().is_some(),
            Some(queue) => {
                let Some(place) = queue.rest.remove(&ticket) else { return false };
                queue.admitted -= usize::from(place.permit.is_some());
                true
            }
        }
    }

    pub(super) fn first(&self) -> Option<&H::Waiter> {
        self.0.as_ref().map(|queue| &queue.first.1.waiter)
    }

    /// The first caller, if it came before this time.
    pub(super) fn first_before(&self, arrival: Option<Arrival>) -> Option<&H::Waiter> {
        let (first, place) = &self.0.as_ref()?.first;
        arrival.is_none_or(|arrival| arrival.is_after(*first)).then_some(&place.waiter)
    }

    pub(super) fn pop(&mut self) -> Option<H::Waiter> {
        let queue = self.0.as_mut()?;
        queue.admitted -= usize::from(queue.first.1.permit.is_some());
        let first = match queue.rest.pop_first() {
            Some(next) => std::mem::replace(&mut queue.first, next),
            None => self.0.take()?.first,
        };
        Some(first.1.waiter)
    }

    /// The first caller of whom it was not known waits from now on, since the server has said that the lock is held. `false`
    /// if there is no room for it.
    pub(super) fn admit_next(&mut self, enter: impl FnOnce() -> Option<WaiterPermit>) -> bool {
        let Some(queue) = &mut self.0 else { return true };
        let mut places = std::iter::once(&mut queue.first.1).chain(queue.rest.values_mut());
        let Some(place) = places.find(|place| place.permit.is_none()) else { return true };
        place.permit = enter();
        queue.admitted += usize::from(place.permit.is_some());
        place.permit.is_some()
    }

    /// Takes the first caller out of whom it is not known whether it has to wait.
    pub(super) fn pop_unadmitted(&mut self) -> Option<H::Waiter> {
        let queue = self.0.as_ref()?;
        if queue.first.1.permit.is_none() {
            return self.pop();
        }
        let ticket = *queue.rest.iter().find(|(_, place)| place.permit.is_none())?.0;
        self.0.as_mut()?.rest.remove(&ticket).map(|place| place.waiter)
    }

    /// Notes that a lease for the first caller was over before the grant arrived. `true` if it was not the first time.
    pub(super) fn is_first_late_again(&mut self) -> bool {
        self.0.as_mut().is_some_and(|queue| std::mem::replace(&mut queue.first.1.was_late, true))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &H::Waiter> {
        self.places().map(|place| &place.waiter)
    }

    fn places(&self) -> impl Iterator<Item = &Place<H>> {
        self.0.iter().flat_map(|queue| std::iter::once(&queue.first.1).chain(queue.rest.values()))
    }

    /// Every caller leaves.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = H::Waiter> + use<H> {
        self.0.take().into_iter().flat_map(|queue| {
            let Queue { first: (_, first), rest, .. } = *queue;
            std::iter::once(first).chain(rest.into_values()).map(|place| place.waiter)
        })
    }
}
