//! [`Acquire`], [`AcquireWithin`] and [`AcquireForever`]: the futures of an acquire.

use std::borrow::Borrow;
use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

use crate::backend::{Acquired, BoxFuture, GrantedLease};
use crate::telemetry::Attempt;
use crate::types::Wait;
use crate::{DistributedLock, LockError, LockGuard};

/// Acquires a lock. `None` if another caller holds it until the wait is over.
///
/// The futures of this module are written by hand. A guard that is granted at once is then moved only once, from the
/// place where the backend wrote it to the caller. An `async` block would store it in between, and be larger for it.
///
/// `L` is the lock, or a reference to it. A future that owns its lock can be returned from the function that makes the
/// lock.
pub(crate) struct Acquire<L> {
    lock: L,
    wait: Wait,
    step: Step,
}

/// As [`Acquire`], with [`LockError::Busy`] in place of `None`.
pub(crate) struct AcquireWithin<L> {
    acquire: Acquire<L>,
    /// Set at the first poll that has to wait. A lock that is granted at once does not read the clock.
    since: Option<Instant>,
}

/// Acquires a lock, and waits without a limit.
pub(crate) struct AcquireForever<L> {
    lock: L,
    step: Step,
}

enum Step {
    /// Nothing has happened yet: a future does nothing before it is polled.
    Created,
    Pending(Pending),
    /// The result is there, and it is no lease: another caller holds the lock, or there is an error.
    Refused(Result<(), LockError>),
    Ended,
}

/// An acquire without a result yet, and the telemetry that reports the result.
pub(crate) struct Pending {
    answer: BoxFuture<'static, Acquired>,
    attempt: Attempt,
}

impl<L> Acquire<L> {
    #[inline]
    pub(crate) fn new(lock: L, wait: Wait) -> Self {
        Self { lock, wait, step: Step::Created }
    }
}

impl<L: Borrow<DistributedLock> + Unpin> Future for Acquire<L> {
    type Output = Result<Option<LockGuard>, LockError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Step::Created = self.step {
            let mut answer = Ok(None);
            let Self { lock, wait, step } = &mut *self;
            step.start((*lock).borrow(), *wait, &mut answer);
            if let Ok(Some(lease)) = answer {
                return Poll::Ready(Ok(Some(lease.into())));
            }
        }
        self.step.poll_result(cx).map_ok(|lease| lease.map(LockGuard::from))
    }
}

impl<L> AcquireWithin<L> {
    #[inline]
    pub(crate) fn new(lock: L, wait: Wait) -> Self {
        Self { acquire: Acquire::new(lock, wait), since: None }
    }
}

impl<L: Borrow<DistributedLock> + Unpin> Future for AcquireWithin<L> {
    type Output = Result<LockGuard, LockError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { acquire, since } = &mut *self;
        let Poll::Ready(answer) = Pin::new(&mut *acquire).poll(cx) else {
            since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        Poll::Ready(answer?.ok_or_else(|| busy(acquire.wait, *since)))
    }
}

/// The error of a wait that is over while another caller holds the lock. The wait began at `since`; `None` if the
/// result was there at once. An attempt without waiting has waited for zero time, also if its reply took some.
pub(crate) fn busy(wait: Wait, since: Option<Instant>) -> LockError {
    let waited = match wait {
        Wait::No => Duration::ZERO,
        // Never zero: a `waited` of zero means that the caller did not wait.
        Wait::AtMost(_) | Wait::Forever => since.map_or(SHORTEST_WAIT, |since| since.elapsed().max(SHORTEST_WAIT)),
    };
    LockError::Busy { waited }
}

const SHORTEST_WAIT: Duration = Duration::from_nanos(1);

impl<L> AcquireForever<L> {
    #[inline]
    pub(crate) fn new(lock: L) -> Self {
        Self { lock, step: Step::Created }
    }
}

impl<L: Borrow<DistributedLock> + Unpin> Future for AcquireForever<L> {
    type Output = Result<LockGuard, LockError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Step::Created = self.step {
                let mut answer = Ok(None);
                let Self { lock, step } = &mut *self;
                step.start((*lock).borrow(), Wait::Forever, &mut answer);
                if let Ok(Some(lease)) = answer {
                    return Poll::Ready(Ok(lease.into()));
                }
            }
            if let Some(lease) = ready!(self.step.poll_result(cx))? {
                return Poll::Ready(Ok(lease.into()));
            }
            // `None` after a wait without a limit is a mistake of the backend. Ask again.
            self.step = Step::Created;
        }
    }
}

impl Step {
    /// Starts the acquire. A lease that is granted at once is written to `answer`, which is `Ok(None)` before.
    #[inline]
    fn start(&mut self, lock: &DistributedLock, wait: Wait, answer: &mut Acquired) {
        // If the backend panics, a later poll must not start the acquire again.
        *self = Self::Ended;
        *self = match lock.begin(wait, answer) {
            Some(pending) => {
                // The result is that of the future. What a backend has written here as well is none.
                *answer = Ok(None);
                Self::Pending(pending)
            }
            None if matches!(answer, Ok(Some(_))) => Self::Ended,
            None => Self::Refused(mem::replace(answer, Ok(None)).map(drop)),
        }
    }

    /// Polls for the result, unless a lease was granted at once. Not inlined, so that the usual path stays short.
    #[inline(never)]
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Acquired> {
        if let Self::Pending(pending) = self {
            let answer = ready!(Pin::new(pending).poll(cx));
            if let Ok(Some(_)) = answer {
                *self = Self::Ended;
                return Poll::Ready(answer);
            }
            *self = Self::Refused(answer.map(drop));
        }
        let Self::Refused(_) = self else { return Poll::Pending };
        // The lock is not held. Use up a part of the task's budget: a caller that attempts in a loop without waiting
        // must let other tasks of its thread run, such as the holder, or the provider's task that connects to the
        // server.
        ready!(pin!(consume_budget()).poll(cx));
        match mem::replace(self, Self::Ended) {
            Self::Refused(refused) => Poll::Ready(refused.map(|()| None)),
            _ => Poll::Pending,
        }
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
        self.attempt.end(&answer, GrantedLease::fencing_token);
        Poll::Ready(answer)
    }
}
