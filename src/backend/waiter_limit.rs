//! [`WaiterLimit`]: how many callers may wait, over all resources of a provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Whether a caller that has to wait needs a free permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaiterAdmission {
    /// It waits only if a permit is free.
    New,
    /// It waits in any case: it had a permit before, and has to wait again for no fault of its own.
    Again,
}

/// How many callers may wait in one process by default.
///
/// A hundred thousand waiting requests take some hundred megabytes with what a server keeps for each of them. That is
/// more than a service can work off in time, and less than what would end its process.
pub(crate) const DEFAULT_MAX_WAITERS: usize = 100_000;

/// A limit on the callers that wait, over all resources. A limit for each resource is not enough where clients choose
/// the names: a client can always think of another one.
///
/// A caller that is granted a lock at once needs no permit. The counter uses atomics of `std` under loom too: no
/// invariant of the locks depends on it.
#[derive(Debug)]
pub(crate) struct WaiterLimit {
    max: AtomicUsize,
    in_use: AtomicUsize,
}

/// The permit of one waiter. Dropping it returns it. It is stored with the waiter, so there are as many permits as
/// waiters.
#[derive(Debug)]
pub(crate) struct WaiterPermit(Arc<WaiterLimit>);

impl WaiterLimit {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: AtomicUsize::new(max), in_use: AtomicUsize::new(0) })
    }

    /// Changes the number of permits. Permits in use stay valid.
    #[cfg(feature = "memory")]
    pub(crate) fn set_max(&self, max: usize) {
        self.max.store(max, Relaxed);
    }

    /// Takes a permit, if one is free. The check and the increment are one atomic step, so that two callers cannot both
    /// get the last permit.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<WaiterPermit> {
        let max = self.max.load(Relaxed);
        let in_use = self.in_use.fetch_update(Relaxed, Relaxed, |in_use| (in_use < max).then(|| in_use + 1));
        in_use.is_ok().then(|| WaiterPermit(Arc::clone(self)))
    }

    /// Takes a permit for a caller that had one before, also if none is free.
    pub(crate) fn enter_again(self: &Arc<Self>) -> WaiterPermit {
        self.in_use.fetch_add(1, Relaxed);
        WaiterPermit(Arc::clone(self))
    }

    /// How many permits are in use.
    pub(crate) fn taken(&self) -> usize {
        self.in_use.load(Relaxed)
    }
}

impl Drop for WaiterPermit {
    fn drop(&mut self) {
        self.0.in_use.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_permit_is_given_once() {
        let limit = WaiterLimit::new(7);
        for _ in 0..200 {
            let permits: Vec<_> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| [limit.enter(), limit.enter(), limit.enter()])).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).flatten().collect()
            });
            assert_eq!((permits.len(), limit.taken()), (7, 7));
            drop(permits);
            assert_eq!(limit.taken(), 0);
        }
    }

    #[test]
    fn a_caller_that_waits_again_is_admitted_and_counted() {
        let limit = WaiterLimit::new(1);
        let permits = (limit.enter(), limit.enter_again());
        assert!(limit.enter().is_none());
        assert_eq!(limit.taken(), 2);
        drop(permits.1);
        assert!(limit.enter().is_none());
        drop(permits.0);
        assert!(limit.enter().is_some());
        assert!(WaiterLimit::new(0).enter().is_none());
    }
}
