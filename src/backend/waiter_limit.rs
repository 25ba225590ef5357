//! [`WaiterLimit`]: how many may wait over all names of a provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Whether a caller that has to wait is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaiterAdmission {
    /// If there is room.
    New,
    /// In any case: it was let in before, and waits again through no fault of its own.
    Again,
}

/// How many may wait in one process, unless a provider is told otherwise.
///
/// A hundred thousand waiting requests take some hundred megabytes with what a server keeps for each of them: more than
/// any service works off in time, and less than what ends its process.
pub(crate) const DEFAULT_MOST: usize = 100_000;

/// The seats of those who wait, whatever for. A bound for each name alone is none where names come from clients, who
/// need only think of another one.
///
/// Whoever is granted a lock at once never comes here. The count is plain `std`, also in models: it decides who is let
/// in, and nothing of what is true of locks rests on it.
#[derive(Debug)]
pub(crate) struct WaiterLimit {
    most: AtomicUsize,
    taken: AtomicUsize,
}

/// One seat, given back when it is dropped. It is kept where the waiter is, so that there are as many of them as there
/// are waiters.
#[derive(Debug)]
pub(crate) struct WaiterPermit(Arc<WaiterLimit>);

impl WaiterLimit {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: AtomicUsize::new(most), taken: AtomicUsize::new(0) })
    }

    /// Another number of seats. Whoever has one keeps it.
    #[cfg(feature = "memory")]
    pub(crate) fn set_most(&self, most: usize) {
        self.most.store(most, Relaxed);
    }

    /// A seat, if there is one. Looking and taking are one step: of two who come for the last seat, one gets it.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<WaiterPermit> {
        let most = self.most.load(Relaxed);
        let taken = self.taken.fetch_update(Relaxed, Relaxed, |taken| (taken < most).then(|| taken + 1));
        taken.is_ok().then(|| WaiterPermit(Arc::clone(self)))
    }

    /// A seat for somebody who had one and comes again, also if there is none.
    pub(crate) fn enter_again(self: &Arc<Self>) -> WaiterPermit {
        self.taken.fetch_add(1, Relaxed);
        WaiterPermit(Arc::clone(self))
    }

    /// How many seats are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

impl Drop for WaiterPermit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_seat_is_one_persons() {
        let room = WaiterLimit::new(7);
        for _ in 0..200 {
            let seats: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| [room.enter(), room.enter(), room.enter()])).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).flatten().collect()
            });
            assert_eq!((seats.len(), room.taken()), (7, 7));
            drop(seats);
            assert_eq!(room.taken(), 0);
        }
    }

    #[test]
    fn whoever_comes_again_is_let_in_and_counted() {
        let room = WaiterLimit::new(1);
        let seats = (room.enter(), room.enter_again());
        assert!(room.enter().is_none());
        assert_eq!(room.taken(), 2);
        drop(seats.1);
        assert!(room.enter().is_none());
        drop(seats.0);
        assert!(room.enter().is_some());
        assert!(WaiterLimit::new(0).enter().is_none());
    }
}
