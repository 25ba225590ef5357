//! Who is to be woken when a lease changes.

use std::task::{Context, Waker};

use crate::mutant::{Mutant, is};

/// The wakers of those who watch one lease.
///
/// Nearly every lease has one watcher at most, the layer that runs a request under it, so the first has its
/// place here and costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    first: Option<(u64, Waker)>,
    more: Vec<(u64, Waker)>,
    next: u64,
}

/// A place among the watchers, kept between polls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watcher(u64);

impl Watchers {
    /// Notes whom to wake, in the place that `watcher` has or in a new one. Returns the waker that was there,
    /// to be dropped outside the caller's mutex.
    pub(super) fn watch(&mut self, cx: &Context<'_>, watcher: &mut Option<Watcher>) -> Option<Waker> {
        if let Some(Watcher(id)) = *watcher
            && let Some((_, waker)) = self.places().find(|(place, _)| *place == id)
        {
            return replace_waker(waker, cx.waker());
        }
        let id = self.next;
        self.next += 1;
        let place = (id, cx.waker().clone());
        if self.first.is_none() {
            self.first = Some(place);
        } else {
            self.more.push(place);
        }
        *watcher = Some(Watcher(id));
        None
    }

    /// Gives a place up. The waker is returned so that it is dropped outside the caller's mutex.
    pub(super) fn forget(&mut self, Watcher(id): Watcher) -> Option<Waker> {
        if self.first.as_ref().is_some_and(|(place, _)| *place == id) {
            return self.first.take().map(|(_, waker)| waker);
        }
        let at = self.more.iter().position(|(place, _)| *place == id)?;
        Some(self.more.swap_remove(at).1)
    }

    /// Empties every place. To be woken by the caller, outside its mutex.
    pub(super) fn take(&mut self) -> Wakers {
        Wakers { first: self.first.take().map(|(_, waker)| waker), more: std::mem::take(&mut self.more) }
    }

    fn places(&mut self) -> impl Iterator<Item = &mut (u64, Waker)> {
        self.first.iter_mut().chain(&mut self.more)
    }
}

/// Leaves `new` where `old` is, unless both wake the same task. Returns the waker that is not needed any more,
/// to be dropped outside the caller's mutex.
pub(crate) fn replace_waker(old: &mut Waker, new: &Waker) -> Option<Waker> {
    if old.will_wake(new) { None } else { Some(std::mem::replace(old, new.clone())) }
}

/// Wakers taken out of a lease.
#[derive(Debug)]
#[must_use = "whoever watches has to be woken"]
pub(crate) struct Wakers {
    first: Option<Waker>,
    more: Vec<(u64, Waker)>,
}

impl Wakers {
    pub(crate) fn tell_of_loss(self) {
        if !is(Mutant::LossWakesNobody) {
            self.wake();
        }
    }

    pub(super) fn wake(self) {
        if let Some(waker) = self.first {
            waker.wake();
        }
        for (_, waker) in self.more {
            waker.wake();
        }
    }
}
