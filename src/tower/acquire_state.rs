//! [`AcquireState`]: how far the acquire for one request has come.

use std::future::Future;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::coop::consume_budget;
use tokio::time::Instant;

#[cfg(feature = "http")]
use crate::LockHandle;
use crate::backend::{Acquired, clear_lease_left};
use crate::lock::{Pending, busy};
use crate::types::Wait;
use crate::{DistributedLock, LockError, LockGuard};

/// Acquires the lock of a request, if the request needs one.
pub(crate) enum AcquireState {
    /// Not polled yet. A future does nothing before its first poll.
    Created { lock: DistributedLock, wait: Wait },
    /// The request is to be refused, for this reason.
    Refused(LockError),
    /// The acquire is in flight, or the request is in the wait queue.
    Waiting {
        pending: Pending,
        wait: Wait,
        /// The first poll that had to wait.
        since: Option<Instant>,
    },
    /// The lock was granted, or the request needs none.
    MayRun,
    /// The refusal was returned, or the backend panicked. Apart from `MayRun`: after a panic the request must not be
    /// taken for one that needs no lock.
    Ended,
}

impl AcquireState {
    #[inline]
    pub(super) fn new(lock: DistributedLock, wait: Duration) -> Self {
        Self::Created { lock, wait: Wait::from(wait) }
    }

    /// Whether the request needs a lock, and so may be refused one.
    #[cfg(feature = "http")]
    pub(crate) fn may_be_refused(&self) -> bool {
        !matches!(self, Self::MayRun)
    }

    /// The reason for the refusal, if it is known before the first poll.
    #[cfg(feature = "http")]
    pub(crate) fn refusal(&self) -> Option<&LockError> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// Whether `handle` belongs to the lock that is to be acquired. Then the request would wait for itself.
    #[cfg(feature = "http")]
    pub(crate) fn is_held_by(&self, handle: &LockHandle) -> bool {
        matches!(self, Self::Created { lock, .. } if lock.is_held_by(handle))
    }

    /// Ready once the request may run. If it needs a lock, the guard is in `guard` then. Pending for ever after an error.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, guard: &mut Option<LockGuard>) -> Poll<Result<(), LockError>> {
        if let Self::MayRun = self {
            return Poll::Ready(Ok(()));
        }
        if let Self::Created { .. } = self {
            let Self::Created { lock, wait } = mem::replace(self, Self::Ended) else { return Poll::Pending };
            let mut answer = Ok(None);
            match lock.begin_once(wait, &mut answer) {
                None => match self.finish(answer, wait, None, guard) {
                    Ok(()) => return Poll::Ready(Ok(())),
                    Err(error) => *self = Self::Refused(error),
                },
                Some(pending) => *self = Self::Waiting { pending, wait, since: None },
            }
        }
        self.poll_waiting(cx, guard)
    }

    /// Every case but a grant at the first poll. Not inlined, to keep that common path short.
    #[inline(never)]
    fn poll_waiting(&mut self, cx: &mut Context<'_>, guard: &mut Option<LockGuard>) -> Poll<Result<(), LockError>> {
        if let Self::Refused(_) = self {
            // The answer was known at once. A loop of such calls must yield to other tasks, for example to the
            // provider's task that connects.
            ready!(pin!(consume_budget()).poll(cx));
            if let Self::Refused(error) = mem::replace(self, Self::Ended) {
                // A value that is set here belongs to an earlier acquire.
                clear_lease_left();
                return Poll::Ready(Err(error));
            }
        }
        let Self::Waiting { pending, wait, since } = self else { return Poll::Pending };
        clear_lease_left();
        let Poll::Ready(answer) = Pin::new(pending).poll(cx) else {
            // The clock is read only for a request that has to wait.
            since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let (wait, since) = (*wait, *since);
        *self = Self::Ended;
        Poll::Ready(self.finish(answer, wait, since, guard))
    }

    /// Puts the guard into its place, or says why there is none.
    #[inline]
    fn finish(
        &mut self,
        answer: Acquired,
        wait: Wait,
        since: Option<Instant>,
        guard: &mut Option<LockGuard>,
    ) -> Result<(), LockError> {
        let Some(lease) = answer? else { return Err(busy(wait, since)) };
        *guard = Some(lease.into());
        *self = Self::MayRun;
        Ok(())
    }
}
