//! What is left to do when a table's mutex is free: wakers are woken, and what was in the table is dropped.

use std::task::Waker;

use super::entry::Waiter;
use super::holder::Holder;

/// Who is to be woken once the table's mutex is free.
#[derive(Debug, Default)]
#[must_use = "whoever is granted a lock has to be woken"]
pub(super) struct WakeList {
    pub(super) granted: Option<Waker>,
    pub(super) first: Option<Waker>,
}

impl WakeList {
    #[inline]
    pub(super) fn wake(self) {
        if let Some(waker) = self.granted {
            waker.wake();
        }
        if let Some(waker) = self.first {
            waker.wake();
        }
    }
}

/// A waiter that has left, to be dropped once the table's mutex is free: its waker may be the last that keeps a
/// task, and with it a guard.
#[derive(Debug)]
pub(super) struct DepartedWaiter {
    pub(super) _waiter: Waiter,
    pub(super) wake: WakeList,
}

impl DepartedWaiter {
    pub(super) fn wake(self) {
        self.wake.wake();
    }
}

/// A holder that has gone, to be dropped once the table's mutex is free, and who is to be woken then.
#[derive(Debug)]
#[must_use = "whoever is granted a lock has to be woken"]
pub(super) struct ReleasedHolder {
    pub(super) _holder: Holder,
    pub(super) wake: WakeList,
}

impl ReleasedHolder {
    #[inline]
    pub(super) fn wake(self) {
        self.wake.wake();
    }
}
