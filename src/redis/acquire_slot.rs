//! [`AcquireSlot`]: one caller who wants a lock, and the answer it gets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::backend::Backend;
use super::lease::RedisLease;
use crate::sync::assert_outside;
use crate::{LockError, LockOptions};

/// One acquire, from its call to its answer.
#[derive(Debug)]
pub(super) struct AcquireSlot {
    options: LockOptions,
    backend: Arc<Backend>,
    slot: Mutex<Slot>,
    /// Whether a lease for this caller was over before it could be taken up: another one that is, is an error.
    was_late: AtomicBool,
}

/// What an acquire comes to.
#[derive(Debug)]
pub(super) enum AcquireResult {
    Granted(Arc<RedisLease>),
    /// Somebody else holds the lock, and the caller was not ready to wait.
    Busy,
    /// In a place of its own: an error is large, and there is room for an answer with every acquire.
    Failed(Box<LockError>),
}

#[derive(Debug)]
enum Slot {
    AcquireFuture(Option<Waker>),
    Answered(AcquireResult),
    /// Nobody is there to be answered any more.
    Gone,
}

impl AcquireSlot {
    pub(super) fn new(options: LockOptions, backend: Arc<Backend>) -> Arc<Self> {
        let slot = Mutex::new(Slot::AcquireFuture(None));
        Arc::new(Self { options, backend, slot, was_late: AtomicBool::new(false) })
    }

    /// Notes that a lease for this caller was over before it could be taken up. `true` if it was not the first.
    pub(super) fn is_late_again(&self) -> bool {
        self.was_late.swap(true, Relaxed)
    }

    pub(super) fn options(&self) -> &LockOptions {
        &self.options
    }

    pub(super) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Leaves the answer where the caller finds it. The waker is to be woken outside every lock; an answer that
    /// comes back found nobody there.
    pub(super) fn answer(&self, answer: AcquireResult) -> Result<Option<Waker>, AcquireResult> {
        let mut slot = self.slot.lock();
        match &mut *slot {
            Slot::AcquireFuture(waker) => {
                let waker = waker.take();
                *slot = Slot::Answered(answer);
                Ok(waker)
            }
            Slot::Answered(_) | Slot::Gone => Err(answer),
        }
    }

    /// Takes the answer, or leaves a waker for it.
    ///
    /// A waker is neither cloned nor dropped under the mutex: both are code of a user's, and a waker may be the last that
    /// keeps a task, and with it a guard.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<AcquireResult> {
        match &mut *self.slot.lock() {
            Slot::AcquireFuture(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Slot::AcquireFuture(_) => {}
            slot => return slot.take_answer(),
        }
        assert_outside();
        let waker = cx.waker().clone();
        let mut slot = self.slot.lock();
        let Slot::AcquireFuture(present) = &mut *slot else { return slot.take_answer() };
        let replaced = present.replace(waker);
        drop(slot);
        drop(replaced);
        Poll::Pending
    }

    /// Has the caller look again, while it has no answer. Whether it waits for that. Outside every mutex.
    pub(super) fn wake(&self) -> bool {
        let waker = match &mut *self.slot.lock() {
            Slot::AcquireFuture(waker) => waker.take(),
            Slot::Answered(_) | Slot::Gone => None,
        };
        let Some(waker) = waker else { return false };
        assert_outside();
        waker.wake();
        true
    }

    /// The caller goes away. Returns the answer that it did not take.
    pub(super) fn leave(&self) -> Option<AcquireResult> {
        let left = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
        match left {
            Slot::Answered(answer) => Some(answer),
            Slot::AcquireFuture(waker) => {
                drop(waker);
                None
            }
            Slot::Gone => None,
        }
    }
}

impl Slot {
    fn take_answer(&mut self) -> Poll<AcquireResult> {
        if !matches!(self, Self::Answered(_)) {
            return Poll::Pending;
        }
        match std::mem::replace(self, Self::Gone) {
            Self::Answered(answer) => Poll::Ready(answer),
            Self::AcquireFuture(_) | Self::Gone => Poll::Pending,
        }
    }
}
