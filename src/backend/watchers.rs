//! Who is to be woken when a lease changes.
//!
//! A waker is a user's: to wake, clone or drop one runs code of theirs, which may drop a guard and so need any mutex of
//! ours. Nothing here does any of these. Wakers come in and go out by value, and whoever has them is outside.

use std::task::Waker;

use crate::sync::assert_outside;

/// The wakers of those who watch one lease.
///
/// Nearly every lease has one watcher at most, the layer that runs a request under it, so that one has its
/// place here and costs no allocation; and most have none, so that several take no room before they are there.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    wakers: Wakers,
    /// The place of the one who is alone.
    place_of_one: u32,
    /// Where to look for the next place that nobody has.
    next: u32,
}

/// The wakers of one lease. To be woken by whoever takes them out of it.
///
/// Nobody is `Several(None)`: a third variant would take a word more, since a waker leaves room for the mark of one.
#[derive(Debug)]
#[must_use = "whoever watches has to be woken"]
pub(crate) enum Wakers {
    One(Waker),
    Several(Option<Box<Several>>),
}

/// Those who watch, and their places. Once there are several they stay here, also if they are fewer again.
#[derive(Debug, Default)]
pub(crate) struct Several(Vec<(u32, Waker)>);

/// A place among the watchers, kept between polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher(u32);

impl Watchers {
    /// Whether this waker, or one that wakes the same task, is in the place that `watcher` has.
    pub(super) fn has(&mut self, watcher: Option<Watcher>, waker: &Waker) -> bool {
        watcher.and_then(|Watcher(place)| self.place(place)).is_some_and(|present| present.will_wake(waker))
    }

    /// Notes whom to wake, in the place that `watcher` has or in a new one. Returns the waker that was there,
    /// to be dropped outside the caller's mutex.
    pub(super) fn watch(&mut self, waker: Waker, watcher: &mut Option<Watcher>) -> Option<Waker> {
        if let Some(Watcher(place)) = *watcher
            && let Some(present) = self.place(place)
        {
            return Some(std::mem::replace(present, waker));
        }
        // They begin anew after 2^32. Whoever has watched since then keeps its own.
        while self.place(self.next).is_some() {
            self.next = self.next.wrapping_add(1);
        }
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        self.add(place, waker);
        *watcher = Some(Watcher(place));
        None
    }

    fn add(&mut self, place: u32, waker: Waker) {
        self.wakers = match std::mem::take(&mut self.wakers) {
            Wakers::Several(None) => {
                self.place_of_one = place;
                Wakers::One(waker)
            }
            Wakers::One(one) => {
                let both = vec![(self.place_of_one, one), (place, waker)];
                Wakers::Several(Some(Box::new(Several(both))))
            }
            Wakers::Several(Some(mut several)) => {
                several.0.push((place, waker));
                Wakers::Several(Some(several))
            }
        };
    }

    /// Gives a place up. The waker is returned so that it is dropped outside the caller's mutex.
    pub(super) fn forget(&mut self, Watcher(place): Watcher) -> Option<Waker> {
        match &mut self.wakers {
            Wakers::Several(several) => {
                let several = several.as_mut()?;
                let at = several.0.iter().position(|(its, _)| *its == place)?;
                Some(several.0.swap_remove(at).1)
            }
            Wakers::One(_) if self.place_of_one != place => None,
            Wakers::One(_) => {
                let Wakers::One(waker) = self.take() else { return None };
                Some(waker)
            }
        }
    }

    /// Empties every place. To be woken by the caller, outside its mutex.
    pub(super) fn take(&mut self) -> Wakers {
        std::mem::take(&mut self.wakers)
    }

    fn place(&mut self, place: u32) -> Option<&mut Waker> {
        match &mut self.wakers {
            Wakers::One(waker) => (self.place_of_one == place).then_some(waker),
            Wakers::Several(several) => {
                several.as_mut()?.0.iter_mut().find(|(its, _)| *its == place).map(|(_, waker)| waker)
            }
        }
    }
}

impl Default for Wakers {
    /// None.
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

    /// Outside every mutex of ours.
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

    /// One who watches for as long as it takes, beside very many who come and go, keeps its place and is woken.
    #[test]
    fn a_place_is_nobody_elses_however_many_came_since() {
        let mut watchers = Watchers::default();
        let mut watch = || {
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut place = None;
            assert!(watchers.watch(waker, &mut place).is_none());
            // As if all numbers but this one had been given since.
            watchers.next = 0;
            (woken, place)
        };
        let all = [watch(), watch(), watch()];
        let places: Vec<_> = all.iter().map(|(_, place)| place.map(|Watcher(place)| place)).collect();
        assert_eq!(places, [Some(0), Some(1), Some(2)]);
        watchers.take().wake();
        assert!(all.iter().all(|(woken, _)| woken.0.load(SeqCst)));
    }

    /// Alone or among several, forgotten or asked again: woken is whoever watches, and nobody else.
    #[test]
    fn whoever_is_forgotten_is_not_woken() {
        for (count, forgotten) in [(1, 0), (2, 0), (2, 1), (3, 1)] {
            let mut watchers = Watchers::default();
            let mut all: Vec<_> = (0..count).map(|_| (Arc::new(Woken::default()), None)).collect();
            for _ in 0..2 {
                for (woken, place) in &mut all {
                    let waker = Waker::from(Arc::clone(woken));
                    assert!(watchers.has(*place, &waker) || watchers.watch(waker, place).is_none());
                }
            }
            assert!(all.get(forgotten).and_then(|(_, place)| watchers.forget((*place)?)).is_some());
            watchers.take().wake();
            let woken: Vec<_> = all.iter().map(|(woken, _)| woken.0.load(SeqCst)).collect();
            assert_eq!(woken, (0..count).map(|at| at != forgotten).collect::<Vec<_>>());
            watchers.take().wake();
        }
    }
}
