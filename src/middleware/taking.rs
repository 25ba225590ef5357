//! [`Taking`]: the lock of one request, on its way.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::acquire::Waiting;
use crate::provider::Wait;
use crate::{DistributedLock, LockError, LockGuard};

/// Takes a lock, if there is one to take.
pub(super) struct Taking {
    step: Step,
    /// It was taken, or there was none to take. While this is not so nothing runs, whatever became of the attempt: also
    /// after its backend panicked a request is not taken for one that needs no lock.
    may_run: bool,
}

enum Step {
    /// Nothing has happened yet: futures do nothing before they are polled.
    Created {
        lock: Result<Option<DistributedLock>, LockError>,
        wait: Wait,
    },
    /// In the queue, and since when.
    Waiting {
        waiting: Waiting,
        since: Option<Instant>,
    },
    Ended,
}

impl Taking {
    /// `lock` is none if the request needs none, an error if it is to be refused.
    #[inline]
    pub(super) fn new(lock: Result<Option<DistributedLock>, LockError>, wait: Duration) -> Self {
        Self { step: Step::Created { lock, wait: Wait::from(wait) }, may_run: false }
    }

    /// The guard when it is there, if the request needs one, and afterwards none. Pending for ever after an error.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<LockGuard>, LockError>> {
        if self.may_run {
            return Poll::Ready(Ok(None));
        }
        if let Step::Created { .. } = self.step {
            let Step::Created { lock, wait } = mem::replace(&mut self.step, Step::Ended) else { return Poll::Pending };
            let Some(lock) = lock? else {
                self.may_run = true;
                return Poll::Ready(Ok(None));
            };
            let mut answer = Ok(None);
            match lock.begin_once(wait, &mut answer) {
                None => return Poll::Ready(self.end(answer, None)),
                Some(waiting) => self.step = Step::Waiting { waiting, since: None },
            }
        }
        let Step::Waiting { waiting, since } = &mut self.step else { return Poll::Pending };
        let Poll::Ready(answer) = Pin::new(waiting).poll(cx) else {
            // Only who really waits pays for the clock.
            since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let since = *since;
        self.step = Step::Ended;
        Poll::Ready(self.end(answer, since))
    }

    /// The guard, or why there is none.
    #[inline]
    fn end(
        &mut self,
        answer: Result<Option<LockGuard>, LockError>,
        since: Option<Instant>,
    ) -> Result<Option<LockGuard>, LockError> {
        if let Ok(None) = answer {
            return Err(LockError::Busy { waited: since.map_or(Duration::ZERO, |since| since.elapsed()) });
        }
        self.may_run = answer.is_ok();
        answer
    }
}
