//! What is left to do when a table's mutex is free: wakers are woken, and what was in the table is dropped.

use std::task::Waker;

use super::holder::Holder;
use super::waiter::Waiter;

/// Who is to be woken once the table's mutex is free.
#[derive(Debug, Default)]
#[must_use = "whoever is granted a lock has to be woken"]
pub(crate) struct WakeList {
    pub(crate) granted: Option<Waker>,
    pub(crate) first: Option<Waker>,
}

impl WakeList {
    #[inline]
    pub(crate) fn wake(self) {
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
pub(crate) struct DepartedWaiter {
    pub(crate) _waiter: Waiter,
    pub(crate) wake: WakeList,
}

impl DepartedWaiter {
    pub(crate) fn wake(self) {
        self.wake.wake();
    }
}

/// A holder that has gone, to be dropped once the table's mutex is free, and who is to be woken then.
#[derive(Debug)]
#[must_use = "whoever is granted a lock has to be woken"]
pub(crate) struct ReleasedHolder {
    pub(crate) _holder: Holder,
    pub(crate) wake: WakeList,
}

impl ReleasedHolder {
    #[inline]
    pub(crate) fn wake(self) {
        self.wake.wake();
    }
}
