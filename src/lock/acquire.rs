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

/// Acquires a lock, or says that somebody else holds it.
///
/// These two are written by hand, since a guard that is granted at once then goes from the place where the backend put it
/// to the caller in one move, and is not kept in between by a future that is bigger for it.
///
/// `L` is the lock, or a reference to it: a future that owns its lock can be returned from where the lock was made.
pub(crate) struct Acquire<L> {
    lock: L,
    wait: Wait,
    step: Step,
}

/// The same, with [`LockError::Busy`] in place of `None`.
pub(crate) struct AcquireWithin<L> {
    acquire: Acquire<L>,
    /// Set at the first poll that has to wait: a lock that is granted at once needs no clock.
    since: Option<Instant>,
}

/// Acquires a lock, for as long as it takes.
pub(crate) struct AcquireForever<L> {
    lock: L,
    step: Step,
}

enum Step {
    /// Nothing has happened yet: futures do nothing before they are polled.
    Created,
    Pending(Pending),
    /// The answer is there, and it is no lease: another caller holds the lock, or there is an error.
    Refused(Result<(), LockError>),
    Ended,
}

/// An acquire whose answer takes a while, and who is told of it.
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
            step.begin((*lock).borrow(), *wait, &mut answer);
            if let Ok(Some(lease)) = answer {
                return Poll::Ready(Ok(Some(lease.into())));
            }
        }
        self.step.go_on(cx).map_ok(|lease| lease.map(LockGuard::from))
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

/// The lock was held for the whole wait, which began at `since` if it took any time at all. The time that one attempt
/// without waiting takes is none of waiting.
pub(crate) fn busy(wait: Wait, since: Option<Instant>) -> LockError {
    let waited = match wait {
        Wait::No => Duration::ZERO,
        // Never zero, by which a caller who was told not to wait is known.
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
                step.begin((*lock).borrow(), Wait::Forever, &mut answer);
                if let Ok(Some(lease)) = answer {
                    return Poll::Ready(Ok(lease.into()));
                }
            }
            if let Some(lease) = ready!(self.step.go_on(cx))? {
                return Poll::Ready(Ok(lease.into()));
            }
            // A backend that was told to wait for ever has no `None` to give. Should one do so, ask again.
            self.step = Step::Created;
        }
    }
}

impl Step {
    /// Begins to acquire. A lease that is granted at once is in `answer` then, which is `Ok(None)` before.
    #[inline]
    fn begin(&mut self, lock: &DistributedLock, wait: Wait, answer: &mut Acquired) {
        // An acquire that has panicked is not begun anew.
        *self = Self::Ended;
        *self = match lock.begin(wait, answer) {
            Some(pending) => Self::Pending(pending),
            None if matches!(answer, Ok(Some(_))) => Self::Ended,
            None => Self::Refused(mem::replace(answer, Ok(None)).map(drop)),
        }
    }

    /// All that comes after an answer that was not known at once. Apart, since the usual way is short.
    #[inline(never)]
    fn go_on(&mut self, cx: &mut Context<'_>) -> Poll<Acquired> {
        if let Self::Pending(pending) = self {
            let answer = ready!(Pin::new(pending).poll(cx));
            if let Ok(Some(_)) = answer {
                *self = Self::Ended;
                return Poll::Ready(answer);
            }
            *self = Self::Refused(answer.map(drop));
        }
        let Self::Refused(_) = self else { return Poll::Pending };
        // Nothing is held. A loop of attempts that never wait has to let other tasks run, on one thread too: the holder,
        // or the task of the provider that connects to its server.
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
