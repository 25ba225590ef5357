//! Work that is deferred until the table's mutex is free: waking wakers, and dropping what the table contained.

use std::task::Waker;

/// The wakers to be woken once the table's mutex is free.
#[derive(Debug, Default)]
#[must_use = "a waiter that was granted a lock has to be woken"]
pub(crate) struct WakeList {
    /// Of the waiter that was granted the lock in the place of its holder.
    pub(crate) granted: Option<Waker>,
    /// Of further waiters that were granted the lock in the same step.
    pub(crate) others: Vec<Waker>,
    /// Of the first waiter, which has to know of another end of the holder's lease (M6).
    pub(crate) first: Option<Waker>,
}

impl WakeList {
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(waker) = self.granted {
            waker.wake();
        }
        self.others.into_iter().for_each(Waker::wake);
        if let Some(waker) = self.first {
            waker.wake();
        }
    }
}

/// What was taken out of the table, to be dropped once its mutex is free, and the wakers to be woken then: a waiter that
/// has left the queue, or a holder whose lease has ended. A waker may be the last reference to a task, and that task may
/// own a guard.
#[derive(Debug)]
#[must_use = "a waiter that was granted a lock has to be woken"]
pub(crate) struct Deferred<T> {
    pub(super) _removed: Option<T>,
    pub(super) wake: WakeList,
}

impl<T> Deferred<T> {
    #[inline]
    pub(crate) fn wake(self) {
        self.wake.wake();
    }
}
