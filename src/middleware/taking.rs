//! [`Taking`]: the lock of one request, on its way.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::provider::{Acquiring, Wait};
use crate::{DistributedLock, LockError, LockGuard};

/// Takes a lock, if there is one to take.
pub(super) enum Taking {
    /// Nothing has happened yet: futures do nothing before they are polled.
    Created { lock: Result<Option<DistributedLock>, LockError>, wait: Wait },
    /// In the queue, and since when.
    Waiting { acquiring: Acquiring, since: Option<Instant> },
    /// Taken, or refused, or there was none to take.
    Over,
}

impl Taking {
    /// Of `lock`: none if the request needs none, an error if it is to be refused.
    #[inline]
    pub(super) fn new(lock: Result<Option<DistributedLock>, LockError>, wait: Duration) -> Self {
        Self::Created { lock, wait: Wait::from(wait) }
    }

    /// The guard, once; none if there is none to take, or no more.
    #[inline]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<LockGuard>, LockError>> {
        if let Self::Created { .. } = self {
            let Self::Created { lock, wait } = mem::replace(self, Self::Over) else { return Poll::Ready(Ok(None)) };
            let Some(lock) = lock? else { return Poll::Ready(Ok(None)) };
            match lock.start_once(wait).at_once() {
                Ok(answer) => return Poll::Ready(granted(answer, None)),
                Err(acquiring) => *self = Self::Waiting { acquiring, since: None },
            }
        }
        let Self::Waiting { acquiring, since } = self else { return Poll::Ready(Ok(None)) };
        let Poll::Ready(answer) = Pin::new(acquiring).poll(cx) else {
            // Only who really waits pays for the clock.
            since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        let since = *since;
        *self = Self::Over;
        Poll::Ready(granted(answer, since))
    }
}

/// The guard, or why there is none.
#[inline]
fn granted(
    answer: Result<Option<LockGuard>, LockError>,
    since: Option<Instant>,
) -> Result<Option<LockGuard>, LockError> {
    match answer {
        Ok(None) => Err(LockError::Busy { waited: since.map_or(Duration::ZERO, |since| since.elapsed()) }),
        answer => answer,
    }
}
