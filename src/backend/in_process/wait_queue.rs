//! [`Queue`]: the waiters of one resource, in the order of arrival.

use std::collections::VecDeque;

/// The number of a waiter in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub(super) u64);

/// The waiters by their tickets, which rise from the front to the back.
///
/// A waiter that leaves has its place set to `None`, so that leaving costs no more than a search. The first place is
/// never empty, so that the first waiter is found at once. Of more than [`MIN_PLACES`] places at most half are empty,
/// so that waiters that come and go behind one that stays do not use more and more memory.
#[derive(Debug)]
pub(crate) struct Queue<W> {
    places: VecDeque<(Ticket, Option<W>)>,
    waiting: usize,
}

/// A queue of no more places is not compacted.
const MIN_PLACES: usize = 32;

impl<W> Queue<W> {
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Appends a waiter. Its ticket must be higher than all others.
    pub(super) fn push(&mut self, ticket: Ticket, waiter: W) {
        self.waiting += 1;
        self.places.push_back((ticket, Some(waiter)));
    }

    pub(super) fn first(&self) -> Option<(Ticket, &W)> {
        self.places.front().and_then(|(ticket, waiter)| Some((*ticket, waiter.as_ref()?)))
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut W> {
        self.places.front_mut().and_then(|(_, waiter)| waiter.as_mut())
    }

    pub(super) fn get_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        self.waiter_slot(ticket)?.as_mut()
    }

    pub(super) fn pop_first(&mut self) -> Option<(Ticket, W)> {
        let (ticket, waiter) = self.places.pop_front()?;
        self.waiting -= 1;
        self.compact();
        waiter.map(|waiter| (ticket, waiter))
    }

    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<W> {
        let waiter = self.waiter_slot(ticket)?.take()?;
        self.waiting -= 1;
        self.compact();
        Some(waiter)
    }

    pub(super) fn into_waiters(self) -> impl Iterator<Item = W> {
        self.places.into_iter().filter_map(|(_, waiter)| waiter)
    }

    fn waiter_slot(&mut self, ticket: Ticket) -> Option<&mut Option<W>> {
        // The usual search is by a waiter that has just joined.
        if self.places.back().is_some_and(|(last, _)| *last == ticket) {
            return self.places.back_mut().map(|(_, waiter)| waiter);
        }
        let at = self.places.binary_search_by_key(&ticket, |(of, _)| *of).ok()?;
        self.places.get_mut(at).map(|(_, waiter)| waiter)
    }

    fn compact(&mut self) {
        while let Some((_, None)) = self.places.front() {
            self.places.pop_front();
        }
        while let Some((_, None)) = self.places.back() {
            self.places.pop_back();
        }
        if self.places.len() > MIN_PLACES.max(2 * self.waiting) {
            self.places.retain(|(_, waiter)| waiter.is_some());
        }
        if self.places.capacity() > MIN_PLACES.max(4 * self.places.len()) {
            self.places.shrink_to(2 * self.places.len());
        }
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { places: VecDeque::new(), waiting: 0 }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn queue(tickets: std::ops::Range<u64>) -> Queue<u64> {
        let mut queue = Queue::default();
        tickets.for_each(|number| queue.push(Ticket(number), number));
        queue
    }

    fn pop(queue: &mut Queue<u64>) -> Option<u64> {
        let (ticket, number) = queue.pop_first()?;
        assert_eq!(ticket, Ticket(number));
        Some(number)
    }

    /// Waiters leave in several orders. The others are served in the order of arrival, each once (M4).
    #[test]
    fn remaining_waiters_are_served_in_order() {
        for step in [1, 7, 30, 77, 99] {
            let mut queue = queue(0..100);
            let left: Vec<_> = (0..100).map(|at| at * step % 100).take(60).collect();
            let mut staying: Vec<_> = (0..100).filter(|number| !left.contains(number)).collect();
            for number in &left {
                queue.remove(Ticket(*number));
                assert_eq!(queue.remove(Ticket(*number)), None, "it has left");
                assert_eq!(queue.get_mut(Ticket(*number)), None, "it has left");
                assert!(
                    queue.first().is_some_and(|(ticket, first)| ticket == Ticket(*first) && !is_gone(&queue, *first))
                );
            }
            queue.push(Ticket(100), 100);
            staying.push(100);
            assert_eq!(queue.len(), staying.len());
            for number in &staying {
                assert_eq!(queue.get_mut(Ticket(*number)), Some(&mut number.clone()));
            }
            assert_eq!(std::iter::from_fn(|| pop(&mut queue)).collect::<Vec<_>>(), staying);
            assert!(queue.first().is_none() && queue.len() == 0 && queue.pop_first().is_none());
        }
    }

    fn is_gone(queue: &Queue<u64>, number: u64) -> bool {
        !queue.places.iter().any(|(_, waiter)| *waiter == Some(number))
    }

    /// One waiter stays, and a million come and go behind it, each with one more behind: no memory is kept.
    #[test]
    fn waiters_that_come_and_go_behind_another_take_no_memory() {
        let mut queue = queue(0..2);
        for number in 2..1_000_000 {
            queue.push(Ticket(number), number);
            assert_eq!(queue.remove(Ticket(number - 1)), Some(number - 1));
            assert!(queue.places.capacity() <= 4 * MIN_PLACES, "{} places", queue.places.capacity());
        }
        assert_eq!((pop(&mut queue), pop(&mut queue), pop(&mut queue)), (Some(0), Some(999_999), None));
    }

    /// A queue that was long before uses no more memory than its waiters need.
    #[test]
    fn a_long_queue_gives_its_memory_back() {
        let mut queue = queue(0..100_000);
        for number in (0..100_000).filter(|number| number % 1000 != 0) {
            assert_eq!(queue.remove(Ticket(number)), Some(number));
        }
        assert_eq!(queue.len(), 100);
        assert!(queue.places.capacity() <= 1000, "{} places", queue.places.capacity());
        for number in 0..90 {
            assert_eq!(pop(&mut queue), Some(number * 1000));
        }
        assert!(queue.places.capacity() <= 100, "{} places", queue.places.capacity());
    }
}
