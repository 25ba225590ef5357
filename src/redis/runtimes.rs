//! [`Runtimes`]: the runtimes in which a provider's leases were taken.

use parking_lot::Mutex;
use tokio::runtime::Handle;

/// The runtimes of the guards that hold a provider's locks. Each runtime is stored once for all of its guards. Most
/// processes have one, some have one for each processor.
#[derive(Debug, Default)]
pub(super) struct Runtimes(Mutex<Vec<Option<Used>>>);

#[derive(Debug)]
struct Used {
    runtime: Handle,
    leases: usize,
}

/// The number of a registered runtime. Each lease that has it must [unregister](Runtimes::unregister) it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RuntimeSlot(pub(super) u32);

impl Runtimes {
    /// Registers one more lease of the present runtime. `None` outside of all runtimes.
    pub(super) fn register(&self) -> Option<RuntimeSlot> {
        let runtime = Handle::try_current().ok()?;
        let mut used = self.0.lock();
        let same = |used: &Option<Used>| used.as_ref().is_some_and(|used| used.runtime.id() == runtime.id());
        if let Some(at) = used.iter().position(same) {
            if let Some(Some(used)) = used.get_mut(at) {
                used.leases += 1;
            }
            return u32::try_from(at).ok().map(RuntimeSlot);
        }
        let at = used.iter().position(Option::is_none).unwrap_or(used.len());
        let place = u32::try_from(at).ok().map(RuntimeSlot)?;
        let new = Some(Used { runtime, leases: 1 });
        match used.get_mut(at) {
            Some(free) => *free = new,
            None => used.push(new),
        }
        Some(place)
    }

    /// Removes one lease of a runtime. A runtime without leases is not kept.
    pub(super) fn unregister(&self, place: RuntimeSlot) {
        let mut used = self.0.lock();
        let Some(slot) = used.get_mut(place.0 as usize) else { return };
        if let Some(used) = slot {
            used.leases -= 1;
        }
        let last = slot.take_if(|used| used.leases == 0);
        drop(used);
        // Outside the mutex: dropping the last handle of a runtime drops its remaining tasks.
        drop(last);
    }

    /// The runtime with this number.
    pub(super) fn get(&self, place: RuntimeSlot) -> Option<Handle> {
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
        assert_eq!(runtimes.register(), None, "outside of all runtimes");
        let enter = |runtime: &tokio::runtime::Runtime| {
            let _inside = runtime.enter();
            runtimes.register().unwrap()
        };
        let (first, second, other) = (enter(&one), enter(&one), enter(&two));
        assert_eq!(first, second);
        assert_ne!(first, other);
        assert_eq!(runtimes.get(other).unwrap().id(), two.handle().id());
        runtimes.unregister(first);
        assert_eq!(runtimes.get(second).unwrap().id(), one.handle().id(), "it has one more lease");
        runtimes.unregister(second);
        assert!(runtimes.get(first).is_none());
        assert_eq!(enter(&runtime()), first, "a free slot is used again");
    }
}
