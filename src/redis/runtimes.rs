//! [`Runtimes`]: in which of them a provider's locks were taken.

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// The runtimes of the guards that hold a provider's locks, each once, however many guards it has. Few processes have
/// more than one, or one a processor.
#[derive(Debug, Default)]
pub(super) struct Runtimes(Mutex<Vec<Option<Used>>>);

#[derive(Debug)]
struct Used {
    runtime: Handle,
    leases: usize,
}

/// A lease's place in one. To be [left](Runtimes::leave) once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(pub(super) u32);

impl Runtimes {
    /// Notes one more lease of the present runtime. `None` outside of all.
    pub(super) fn enter(&self) -> Option<Place> {
        let runtime = Handle::try_current().ok()?;
        let mut used = self.0.lock();
        let same = |used: &Option<Used>| used.as_ref().is_some_and(|used| used.runtime.id() == runtime.id());
        if let Some(at) = used.iter().position(same) {
            if let Some(Some(used)) = used.get_mut(at) {
                used.leases += 1;
            }
            return u32::try_from(at).ok().map(Place);
        }
        let at = used.iter().position(Option::is_none).unwrap_or(used.len());
        let place = u32::try_from(at).ok().map(Place)?;
        let new = Some(Used { runtime, leases: 1 });
        match used.get_mut(at) {
            Some(free) => *free = new,
            None => used.push(new),
        }
        Some(place)
    }

    /// A lease is gone. A runtime that has none is not kept.
    pub(super) fn leave(&self, place: Place) {
        let mut used = self.0.lock();
        let Some(slot) = used.get_mut(place.0 as usize) else { return };
        if let Some(used) = slot {
            used.leases -= 1;
        }
        let last = slot.take_if(|used| used.leases == 0);
        drop(used);
        // Outside the mutex: with the last handle of a runtime go the tasks that it has left.
        drop(last);
    }

    /// The runtime of this place.
    pub(super) fn get(&self, place: Place) -> Option<Handle> {
        self.0.lock().get(place.0 as usize)?.as_ref().map(|used| used.runtime.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_runtime_is_kept_once_and_for_as_long_as_it_has_leases() {
        let runtimes = Runtimes::default();
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (one, two) = (runtime(), runtime());
        assert_eq!(runtimes.enter(), None, "outside of all");
        let enter = |runtime: &tokio::runtime::Runtime| {
            let _inside = runtime.enter();
            runtimes.enter().unwrap()
        };
        let (first, second, other) = (enter(&one), enter(&one), enter(&two));
        assert_eq!(first, second);
        assert_ne!(first, other);
        assert_eq!(runtimes.get(other).unwrap().id(), two.handle().id());
        runtimes.leave(first);
        assert_eq!(runtimes.get(second).unwrap().id(), one.handle().id(), "it has one lease yet");
        runtimes.leave(second);
        assert!(runtimes.get(first).is_none());
        assert_eq!(enter(&runtime()), first, "places are given again");
    }
}
