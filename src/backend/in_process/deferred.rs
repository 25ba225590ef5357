//! Work that is deferred until the table's mutex is free: waking wakers, and dropping what the table contained.

use std::task::Waker;

use super::holder::Holder;
use super::waiter::Waiter;

/// The wakers to be woken once the table's mutex is free.
#[derive(Debug, Default)]
#[must_use = "a waiter that was granted a lock has to be woken"]
pub(crate) struct WakeList {
    /// Of the waiter that was granted the lock.
    pub(crate) granted: Option<Waker>,
    /// Of the first waiter, which has to know of another end of the holder's lease (M6).
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

/// A waiter that has left the queue, to be dropped once the table's mutex is free: its waker may be the last reference
/// to a task, and that task may own a guard.
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

/// A holder whose lease has ended, to be dropped once the table's mutex is free, and the wakers to be woken then.
#[derive(Debug)]
#[must_use = "a waiter that was granted a lock has to be woken"]
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
