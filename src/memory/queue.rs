//! [`Queue`]: who waits for one name, in the order of arrival.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::lease::MemoryLease;
use crate::LockOptions;
use crate::mutant::{Mutant, is};
use crate::provider::Seat;

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(pub(super) u64);

#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) lease: Arc<MemoryLease>,
    pub(super) options: LockOptions,
    pub(super) waker: Waker,
    /// Given back with the place, however that ends.
    pub(super) _seat: Seat,
}

/// The waiters by their tickets, which rise from the front to the back.
///
/// A place whose waiter has gone stays behind empty, so that leaving costs no more than finding the place. The first
/// place is never empty, so that finding the first costs nothing; and of many places at most half are, so that those who
/// come and go behind one who stays take no memory in the end.
#[derive(Debug, Default)]
pub(super) struct Queue {
    places: VecDeque<(Ticket, Option<Waiter>)>,
    waiting: usize,
}

/// The fewest places that are worth being tidied up.
const FEW: usize = 32;

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// At the end: the ticket is higher than every other.
    pub(super) fn push(&mut self, ticket: Ticket, waiter: Waiter) {
        self.waiting += 1;
        self.places.push_back((ticket, Some(waiter)));
    }

    pub(super) fn first(&self) -> Option<(Ticket, &Waiter)> {
        self.places.front().and_then(|(ticket, waiter)| Some((*ticket, waiter.as_ref()?)))
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut Waiter> {
        self.place(ticket)?.as_mut()
    }

    pub(super) fn pop_first(&mut self) -> Option<Waiter> {
        let last = is(Mutant::LastComeFirstServedInMemory);
        let (_, waiter) = if last { self.places.pop_back() } else { self.places.pop_front() }?;
        self.waiting -= 1;
        self.tidy();
        waiter
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.place(ticket)?.take()?;
        self.waiting -= 1;
        self.tidy();
        Some(waiter)
    }

    pub(super) fn into_waiters(self) -> impl Iterator<Item = Waiter> {
        self.places.into_iter().filter_map(|(_, waiter)| waiter)
    }

    fn place(&mut self, ticket: Ticket) -> Option<&mut Option<Waiter>> {
        // Whoever looks has most often just come.
        if self.places.back().is_some_and(|(last, _)| *last == ticket) {
            return self.places.back_mut().map(|(_, waiter)| waiter);
        }
        let at = self.places.binary_search_by_key(&ticket, |(of, _)| *of).ok()?;
        self.places.get_mut(at).map(|(_, waiter)| waiter)
    }

    fn tidy(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
        }
        while let Some((_, None)) = self.places.back() {
            self.places.pop_back();
        }
        if self.places.len() > FEW.max(2 * self.waiting) {
            self.places.retain(|(_, waiter)| waiter.is_some());
        }
        if self.places.capacity() > FEW.max(4 * self.places.len()) {
            self.places.shrink_to(2 * self.places.len());
        }
    }
}
