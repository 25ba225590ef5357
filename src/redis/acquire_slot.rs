//! [`AcquireSlot`]: one caller that wants a lock, and its result.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::lease::{LeaseOwner, RedisLease};
use crate::sync::assert_outside;
use crate::{LockOptions, engine};

/// One acquire, from the call to its result. The future of the caller and the engine share it.
#[derive(Debug)]
pub(super) struct AcquireSlot<B: LeaseOwner> {
    options: LockOptions,
    backend: Arc<B>,
    slot: Mutex<Slot<B>>,
}

/// The result of an acquire.
pub(super) type AcquireResult<B> = engine::AcquireResult<Arc<RedisLease<B>>>;

#[derive(Debug)]
enum Slot<B: LeaseOwner> {
    /// The caller waits. The waker of its last poll.
    Pending(Option<Waker>),
    Answered(AcquireResult<B>),
    /// The caller has taken the result, or has dropped its future.
    Gone,
}

impl<B: LeaseOwner> AcquireSlot<B> {
    pub(super) fn new(options: LockOptions, backend: Arc<B>) -> Arc<Self> {
        Arc::new(Self { options, backend, slot: Mutex::new(Slot::Pending(None)) })
    }

    /// Whether the caller has taken its result or has dropped its future.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Gone)
    }

    pub(super) fn options(&self) -> &LockOptions {
        &self.options
    }

    pub(super) fn backend(&self) -> &Arc<B> {
        &self.backend
    }

    /// Stores the result for the caller. Returns the waker, to be woken outside every mutex. `Err` returns the result:
    /// the caller is gone, or has a result already.
    pub(super) fn answer(&self, answer: AcquireResult<B>) -> Result<Option<Waker>, AcquireResult<B>> {
        let mut slot = self.slot.lock();
        match &mut *slot {
            Slot::Pending(waker) => {
                let waker = waker.take();
                *slot = Slot::Answered(answer);
                Ok(waker)
            }
            Slot::Answered(_) | Slot::Gone => Err(answer),
        }
    }

    /// Takes the result, or leaves the waker.
    ///
    /// A waker is neither cloned nor dropped under the mutex: both run the user's code, and the waker may be the last
    /// reference to a task that owns a guard.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<AcquireResult<B>> {
        match &mut *self.slot.lock() {
            Slot::Pending(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Slot::Pending(_) => {}
            slot => return slot.take_answer(),
        }
        assert_outside();
        let waker = cx.waker().clone();
        let mut slot = self.slot.lock();
        let Slot::Pending(present) = &mut *slot else { return slot.take_answer() };
        let replaced = present.replace(waker);
        drop(slot);
        drop(replaced);
        Poll::Pending
    }

    /// Takes the result, if it is there and is not a lease.
    pub(super) fn take_refusal(&self) -> Option<AcquireResult<B>> {
        match &mut *self.slot.lock() {
            Slot::Pending(_) | Slot::Answered(AcquireResult::Granted(_)) => None,
            slot => match slot.take_answer() {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            },
        }
    }

    /// Whether there is a result that was not taken yet.
    pub(super) fn is_answered(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Answered(_))
    }

    /// Wakes a waiting caller, so that it polls again. `false` if none waits. To be called outside every mutex.
    pub(super) fn wake(&self) -> bool {
        let waker = match &mut *self.slot.lock() {
            Slot::Pending(waker) => waker.take(),
            Slot::Answered(_) | Slot::Gone => None,
        };
        let Some(waker) = waker else { return false };
        assert_outside();
        waker.wake();
        true
    }

    /// The caller drops its future. Returns the result that it has not taken.
    pub(super) fn leave(&self) -> Option<AcquireResult<B>> {
        let left = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
        match left {
            Slot::Answered(answer) => Some(answer),
            Slot::Pending(waker) => {
                drop(waker);
                None
            }
            Slot::Gone => None,
        }
    }
}

impl<B: LeaseOwner> Slot<B> {
    fn take_answer(&mut self) -> Poll<AcquireResult<B>> {
        if !matches!(self, Self::Answered(_)) {
            return Poll::Pending;
        }
        match std::mem::replace(self, Self::Gone) {
            Self::Answered(answer) => Poll::Ready(answer),
            Self::Pending(_) | Self::Gone => Poll::Pending,
        }
    }
}
