//! [`AcquireSlot`]: one caller who wants a lock, and the answer it gets.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::lease::{LeaseOwner, RedisLease};
use crate::sync::assert_outside;
use crate::{LockOptions, engine};

/// One acquire, from its call to its answer.
#[derive(Debug)]
pub(super) struct AcquireSlot<B: LeaseOwner> {
    options: LockOptions,
    backend: Arc<B>,
    slot: Mutex<Slot<B>>,
}

/// What an acquire comes to.
pub(super) type AcquireResult<B> = engine::AcquireResult<Arc<RedisLease<B>>>;

#[derive(Debug)]
enum Slot<B: LeaseOwner> {
    /// The caller waits, and is woken with this.
    Pending(Option<Waker>),
    Answered(AcquireResult<B>),
    /// The caller has its answer, or has gone away.
    Gone,
}

impl<B: LeaseOwner> AcquireSlot<B> {
    pub(super) fn new(options: LockOptions, backend: Arc<B>) -> Arc<Self> {
        Arc::new(Self { options, backend, slot: Mutex::new(Slot::Pending(None)) })
    }

    /// Whether no caller is there any more that would take an answer.
    pub(super) fn is_gone(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Gone)
    }

    pub(super) fn options(&self) -> &LockOptions {
        &self.options
    }

    pub(super) fn backend(&self) -> &Arc<B> {
        &self.backend
    }

    /// Leaves the answer where the caller finds it. The waker is to be woken outside every mutex. An answer that comes back
    /// found the caller gone.
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

    /// Takes the answer, or leaves a waker for it.
    ///
    /// A waker is neither cloned nor dropped under the mutex: both are code of a user's, and a waker may be the last that
    /// keeps a task, and with it a guard.
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

    /// Takes the answer, if it is there and is not a lease.
    pub(super) fn take_refusal(&self) -> Option<AcquireResult<B>> {
        match &mut *self.slot.lock() {
            Slot::Pending(_) | Slot::Answered(AcquireResult::Granted(_)) => None,
            slot => match slot.take_answer() {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => None,
            },
        }
    }

    /// Whether the answer is there to be taken.
    pub(super) fn is_answered(&self) -> bool {
        matches!(*self.slot.lock(), Slot::Answered(_))
    }

    /// Has the caller look again, while it has no answer. Whether it waits for that. Outside every mutex.
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

    /// The caller goes away. Returns the answer that it did not take.
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
