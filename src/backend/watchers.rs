//! [`Watchers`]: the wakers of the tasks that watch one lease.
//!
//! Waking, cloning or dropping a waker runs the user's code, which may drop a guard and so need any mutex of this
//! crate. Nothing under the mutex does any of these: wakers are passed in and out by value, and the caller wakes or
//! drops them after it has released the mutex.

use std::task::Waker;

use crate::sync::assert_outside;

/// The watchers of one lease.
///
/// Nearly every lease has at most one watcher: the layer that runs a request under it. So a single waker is stored
/// inline and needs no allocation. Most leases have none, so the list for several watchers is allocated only when
/// needed.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    wakers: Wakers,
    /// The id of the watcher in [`Wakers::One`].
    single_id: u32,
    /// The first candidate for the next id.
    next_id: u32,
}

/// The wakers of one lease. The caller that takes them has to wake them.
///
/// No waker is `Several(None)`: a third variant would take one more word, since a waker has a niche for only one.
#[derive(Debug)]
#[must_use = "the watchers have to be woken"]
pub(crate) enum Wakers {
    One(Waker),
    Several(Option<Box<Several>>),
}

/// Several watchers with their ids. Once allocated the list stays, also if fewer are left.
#[derive(Debug, Default)]
pub(crate) struct Several(Vec<(u32, Waker)>);

/// The id of a watcher of one lease, kept between polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher(u32);

impl Watchers {
    /// Whether `watcher` is registered with this waker, or with one that wakes the same task.
    pub(super) fn has(&mut self, watcher: Option<Watcher>, waker: &Waker) -> bool {
        watcher.and_then(|Watcher(id)| self.waker_of(id)).is_some_and(|present| present.will_wake(waker))
    }

    /// Registers the waker under the id of `watcher`, or under a new one. Returns the replaced waker, to be dropped
    /// outside the caller's mutex.
    pub(super) fn watch(&mut self, waker: Waker, watcher: &mut Option<Watcher>) -> Option<Waker> {
        if let Some(Watcher(id)) = *watcher
            && let Some(present) = self.waker_of(id)
        {
            return Some(std::mem::replace(present, waker));
        }
        // Ids wrap after 2^32 registrations. A watcher that is registered still keeps its id.
        while self.waker_of(self.next_id).is_some() {
            self.next_id = self.next_id.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.add(id, waker);
        *watcher = Some(Watcher(id));
        None
    }

    fn add(&mut self, id: u32, waker: Waker) {
        self.wakers = match std::mem::take(&mut self.wakers) {
            Wakers::Several(None) => {
                self.single_id = id;
                Wakers::One(waker)
            }
            Wakers::One(one) => {
                let both = vec![(self.single_id, one), (id, waker)];
                Wakers::Several(Some(Box::new(Several(both))))
            }
            Wakers::Several(Some(mut several)) => {
                several.0.push((id, waker));
                Wakers::Several(Some(several))
            }
        };
    }

    /// Removes a watcher. Its waker is returned, to be dropped outside the caller's mutex.
    pub(super) fn forget(&mut self, Watcher(id): Watcher) -> Option<Waker> {
        match &mut self.wakers {
            Wakers::Several(several) => {
                let several = several.as_mut()?;
                let at = several.0.iter().position(|(its, _)| *its == id)?;
                Some(several.0.swap_remove(at).1)
            }
            Wakers::One(_) if self.single_id != id => None,
            Wakers::One(_) => {
                let Wakers::One(waker) = self.take() else { return None };
                Some(waker)
            }
        }
    }

    /// Removes all watchers. The caller wakes them outside its mutex.
    pub(super) fn take(&mut self) -> Wakers {
        std::mem::take(&mut self.wakers)
    }

    fn waker_of(&mut self, id: u32) -> Option<&mut Waker> {
        match &mut self.wakers {
            Wakers::One(waker) => (self.single_id == id).then_some(waker),
            Wakers::Several(several) => {
                several.as_mut()?.0.iter_mut().find(|(its, _)| *its == id).map(|(_, waker)| waker)
            }
        }
    }
}

impl Default for Wakers {
    /// No waker.
    fn default() -> Self {
        Self::Several(None)
    }
}

impl Wakers {
    /// Whether there are any.
    #[cfg(feature = "redis")]
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Several(None))
    }

    /// Wakes the watchers. To be called outside every mutex of this crate.
    pub(crate) fn wake(self) {
        assert_outside();
        match self {
            Self::One(waker) => waker.wake(),
            Self::Several(several) => {
                several.into_iter().flat_map(|several| several.0).for_each(|(_, waker)| waker.wake());
            }
        }
    }
}

#[cfg(all(test, not(orchestrix_loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    /// A watcher that stays while very many come and go keeps its id, and is woken.
    #[test]
    fn ids_that_are_in_use_are_not_given_again() {
        let mut watchers = Watchers::default();
        let mut watch = || {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut id = None;
            assert!(watchers.watch(waker, &mut id).is_none());
            // As if all other ids had been given since.
            watchers.next_id = 0;
            (woken, id)
        };
        let all = [watch(), watch(), watch()];
        let ids: Vec<_> = all.iter().map(|(_, id)| id.map(|Watcher(id)| id)).collect();
        assert_eq!(ids, [Some(0), Some(1), Some(2)]);
        watchers.take().wake();
        assert!(all.iter().all(|(woken, _)| woken.0.load(SeqCst)));
    }

    /// With one or several watchers, registered once or again: exactly those that were not removed are woken.
    #[test]
    fn a_removed_watcher_is_not_woken() {
        for (count, forgotten) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
            let mut watchers = Watchers::default();
            let mut all: Vec<_> = (0..count).map(|_| (Arc::new(Woken::default()), None)).collect();
            for _ in 0..2 {
                for (woken, id) in &mut all {
                    let waker = Waker::from(Arc::clone(woken));
                    assert!(watchers.has(*id, &waker) || watchers.watch(waker, id).is_none());
                }
            }
            assert!(all.get(forgotten).and_then(|(_, id)| watchers.forget((*id)?)).is_some());
            watchers.take().wake();
            let woken: Vec<_> = all.iter().map(|(woken, _)| woken.0.load(SeqCst)).collect();
            assert_eq!(woken, (0..count).map(|at| at != forgotten).collect::<Vec<_>>());
            watchers.take().wake();
        }
    }
}
