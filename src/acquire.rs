//! [`Acquire`] and [`AcquireForever`]: the futures of an acquire.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::task::coop::consume_budget;

use crate::observe::Attempt;
use crate::provider::{Acquired, BoxFuture, Wait};
use crate::{DistributedLock, LockError, LockGuard};

/// Acquires a lock, or says that somebody else holds it.
///
/// These two are written by hand, since a guard that is granted at once then goes from the place where the backend put it
/// to the caller in one move, and is not kept in between by a future that is bigger for it.
pub(crate) struct Acquire<'a> {
    lock: &'a DistributedLock,
    wait: Wait,
    step: Step,
}

/// Acquires a lock, for as long as it takes.
pub(crate) struct AcquireForever<'a> {
    lock: &'a DistributedLock,
    step: Step,
}

enum Step {
    /// Nothing has happened yet: futures do nothing before they are polled.
    Created,
    Pending(Pending),
    /// Somebody else holds the lock.
    Busy,
    Ended,
}

/// An acquire whose answer takes a while, and who is told of it.
pub(crate) struct Pending {
    answer: BoxFuture<'static, Acquired>,
    attempt: Attempt,
}

impl<'a> Acquire<'a> {
    #[inline]
    pub(crate) fn new(lock: &'a DistributedLock, wait: Wait) -> Self {
        Self { lock, wait, step: Step::Created }
    }
}

impl Future for Acquire<'_> {
    type Output = Acquired;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired> {
        if let Step::Created = self.step {
            let mut answer = Ok(None);
            let Self { lock, wait, step } = &mut *self;
            step.begin(lock, *wait, &mut answer);
            if let Step::Ended = self.step {
                return Poll::Ready(answer);
            }
        }
        self.step.go_on(cx)
    }
}

impl<'a> AcquireForever<'a> {
    #[inline]
    pub(crate) fn new(lock: &'a DistributedLock) -> Self {
        Self { lock, step: Step::Created }
    }
}

impl Future for AcquireForever<'_> {
    type Output = Result<LockGuard, LockError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Step::Created = self.step {
                let mut answer = Ok(None);
                let Self { lock, step } = &mut *self;
                step.begin(lock, Wait::Forever, &mut answer);
                if let Ok(Some(guard)) = answer {
                    return Poll::Ready(Ok(guard));
                }
                answer?;
            }
            if let Some(guard) = ready!(self.step.go_on(cx))? {
                return Poll::Ready(Ok(guard));
            }
            // A backend that was told to wait for ever has no `None` to give. Should one do so, ask again.
            self.step = Step::Created;
        }
    }
}

impl Step {
    /// Begins to acquire. What is known at once is in `answer` then, which is `Ok(None)` before.
    #[inline]
    fn begin(&mut self, lock: &DistributedLock, wait: Wait, answer: &mut Acquired) {
        // What has panicked is not begun anew.
        *self = Self::Ended;
        *self = match lock.begin(wait, answer) {
            Some(pending) => Self::Pending(pending),
            None if matches!(answer, Ok(None)) => Self::Busy,
            None => Self::Ended,
        }
    }

    /// All that comes after an answer that was not known at once. Apart, since the usual way is short.
    #[inline(never)]
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Acquired> {
        if let Self::Pending(pending) = self {
            let answer = ready!(Pin::new(pending).poll(cx));
            *self = if matches!(answer, Ok(None)) { Self::Busy } else { Self::Ended };
            if let Self::Ended = self {
                return Poll::Ready(answer);
            }
        }
        let Self::Busy = self else { return Poll::Pending };
        // Nothing is held. A loop of attempts that never wait has to let the holder run, on one thread too.
        ready!(pin!(consume_budget()).poll(cx));
        *self = Self::Ended;
        Poll::Ready(Ok(None))
    }
}

impl Pending {
    pub(crate) fn new(answer: BoxFuture<'static, Acquired>, attempt: Attempt) -> Self {
        Self { answer, attempt }
    }
}

impl Future for Pending {
    type Output = Acquired;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired> {
        let answer = ready!(self.answer.as_mut().poll(cx));
        self.attempt.end(&answer);
        Poll::Ready(answer)
    }
}
