//! [`AcquireState`]: the lock of one request, on its way.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

#[cfg(feature = "http")]
use crate::LockHandle;
use crate::backend::{Acquired, Wait, clear_lease_left};
use crate::lock::{Pending, busy};
use crate::{DistributedLock, LockError};

/// Takes a lock, if there is one to take.
pub(crate) struct AcquireState {
    step: Step,
    /// It was taken, or there was none to take. While this is not so nothing runs, whatever became of the attempt: also
    /// after its backend panicked a request is not taken for one that needs no lock.
    may_run: bool,
}

enum Step {
    /// Nothing has happened yet: futures do nothing before they are polled.
    Created {
        lock: DistributedLock,
        wait: Wait,
    },
    /// There is no lock to be had.
    Refused(LockError),
    /// In the queue, for how long at most, and since when.
    Waiting {
        answer: Pending,
        wait: Wait,
        since: Option<Instant>,
    },
    Ended,
}

impl AcquireState {
    #[inline]
    pub(super) fn new(lock: DistributedLock, wait: Duration) -> Self {
        Self { step: Step::Created { lock, wait: Wait::from(wait) }, may_run: false }
    }

    /// No lock, for a request that is to be refused.
    pub(crate) fn refused(error: LockError) -> Self {
        Self { step: Step::Refused(error), may_run: false }
    }

    /// No lock, for a request that needs none.
    pub(super) fn nothing() -> Self {
        Self { step: Step::Ended, may_run: true }
    }

    /// Whether there may be no lock for the request; not where it needs none.
    #[cfg(feature = "http")]
    pub(crate) fn may_be_refused(&self) -> bool {
        !self.may_run
    }

    /// Why the request is to be refused, as far as that is known already.
    #[cfg(feature = "http")]
    pub(crate) fn refusal(&self) -> Option<&LockError> {
        match &self.step {
            Step::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Whether this handle holds the lock that is to be taken: waiting would be waiting for itself.
    #[cfg(feature = "http")]
    pub(crate) fn is_held_by(&self, handle: &LockHandle) -> bool {
        matches!(&self.step, Step::Created { lock, .. } if handle.holds(lock))
    }

    /// Ready once the request may run; then the guard is in `guard`, if the request needs one. Pending for ever after an
    /// error.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, guard: &mut Acquired) -> Poll<Result<(), LockError>> {
        if self.may_run {
            return Poll::Ready(Ok(()));
        }
        if let Step::Created { .. } = self.step {
            let Step::Created { lock, wait } = mem::replace(&mut self.step, Step::Ended) else { return Poll::Pending };
            match lock.begin_once(wait, guard) {
                None => match self.end(guard, wait, None) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(error) => self.step = Step::Refused(error),
                },
                Some(answer) => self.step = Step::Waiting { answer, wait, since: None },
            }
        }
        self.go_on(cx, guard)
    }

    /// All that comes after an answer that was not known at once. Apart, since the usual way is short.
    #[inline(never)]
    fn go_on(&mut self, cx: &mut Context<'_>, guard: &mut Acquired) -> Poll<Result<(), LockError>> {
        if let Step::Refused(_) = self.step {
            // Known at once. A loop of calls has to let other tasks run, such as that of the provider that connects.
            ready!(pin!(consume_budget()).poll(cx));
            if let Step::Refused(error) = mem::replace(&mut self.step, Step::Ended) {
                // What is there was told of another lock.
                clear_lease_left();
                return Poll::Ready(Err(error));
            }
        }
        let Step::Waiting { answer, wait, since } = &mut self.step else { return Poll::Pending };
        clear_lease_left();
        let Poll::Ready(answer) = Pin::new(answer).poll(cx) else {
            // Only who really waits pays for the clock.
            since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let (wait, since) = (*wait, *since);
        self.step = Step::Ended;
        *guard = answer;
        Poll::Ready(self.end(guard, wait, since))
    }

    /// Whether there is a guard, or why there is none.
    #[inline]
    fn end(&mut self, guard: &mut Acquired, wait: Wait, since: Option<Instant>) -> Result<(), LockError> {
        if let Ok(Some(_)) = guard {
            self.may_run = true;
            return Ok(());
        }
        mem::replace(guard, Ok(None))?;
        Err(busy(wait, since))
    }
}
