//! [`Waiter`]: one caller who wants a lock, and the answer it gets.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::backend::Backend;
use super::lease::RedisLease;
use crate::{LockError, LockOptions};

/// One acquire, from its call to its answer.
#[derive(Debug)]
pub(super) struct Waiter {
    options: LockOptions,
    backend: Arc<Backend>,
    slot: Mutex<Slot>,
}

/// What an acquire comes to.
#[derive(Debug)]
pub(super) enum Answer {
    Granted(Arc<RedisLease>),
    /// Somebody else holds the lock, and the caller was not ready to wait.
    Busy,
    /// In a place of its own: an error is large, and there is room for an answer with every acquire.
    Failed(Box<LockError>),
}

#[derive(Debug)]
enum Slot {
    Waiting(Option<Waker>),
    Answered(Answer),
    /// Nobody is there to be answered any more.
    Gone,
}

impl Waiter {
    pub(super) fn new(options: LockOptions, backend: Arc<Backend>) -> Arc<Self> {
        Arc::new(Self { options, backend, slot: Mutex::new(Slot::Waiting(None)) })
    }

    pub(super) fn options(&self) -> &LockOptions {
        &self.options
    }

    pub(super) fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Leaves the answer where the caller finds it. The waker is to be woken outside every lock; an answer that
    /// comes back found nobody there.
    pub(super) fn answer(&self, answer: Answer) -> Result<Option<Waker>, Answer> {
        let mut slot = self.slot.lock();
        match &mut *slot {
            Slot::Waiting(waker) => {
                let waker = waker.take();
                *slot = Slot::Answered(answer);
                Ok(waker)
            }
            Slot::Answered(_) | Slot::Gone => Err(answer),
        }
    }

    /// Takes the answer, or leaves a waker for it.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Answer> {
        let replaced;
        {
            let mut slot = self.slot.lock();
            match &mut *slot {
                Slot::Waiting(Some(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
                // A waker is not dropped under the mutex: it may be the last that keeps a task, and with it a guard.
                Slot::Waiting(waker) => replaced = waker.replace(cx.waker().clone()),
                Slot::Answered(_) => match std::mem::replace(&mut *slot, Slot::Gone) {
                    Slot::Answered(answer) => return Poll::Ready(answer),
                    Slot::Waiting(_) | Slot::Gone => return Poll::Pending,
                },
                Slot::Gone => return Poll::Pending,
            }
        }
        drop(replaced);
        Poll::Pending
    }

    /// By which the caller can be woken while it has no answer.
    pub(super) fn waker(&self) -> Option<Waker> {
        match &*self.slot.lock() {
            Slot::Waiting(waker) => waker.clone(),
            Slot::Answered(_) | Slot::Gone => None,
        }
    }

    /// The caller goes away. Returns the answer that it did not take.
    pub(super) fn leave(&self) -> Option<Answer> {
        let left = std::mem::replace(&mut *self.slot.lock(), Slot::Gone);
        match left {
            Slot::Answered(answer) => Some(answer),
            Slot::Waiting(waker) => {
                drop(waker);
                None
            }
            Slot::Gone => None,
        }
    }
}

/// Who is to be woken once every lock is let go.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    first: Option<Waker>,
    more: Vec<Waker>,
}

impl Wakers {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        match waker {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            Some(waker) => self.more.push(waker),
            None => {}
        }
    }

    pub(super) fn wake(self) {
        for waker in self.first.into_iter().chain(self.more) {
            waker.wake();
        }
    }
}
