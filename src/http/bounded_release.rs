//! [`BoundedRelease`]: a release that an answer waits for, within bounds.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::LockGuard;
use crate::backend::{Release, Releasing};

/// Resolves when the release has been answered, or its time is up: the answer to a client must not hang on a
/// silent backend. The release goes on in the background then.
///
/// `true` if the lock is known to have been lost before.
pub(super) struct BoundedRelease {
    releasing: Releasing,
    patience: Duration,
    /// Boxed, and only if the backend doesn't answer at once: bodies and futures stay small.
    timer: Option<Pin<Box<Sleep>>>,
}

impl BoundedRelease {
    /// Releases the lock if its backend answers at once: whether it is known to have been lost before. `None` if there is
    /// an answer to wait for.
    #[inline]
    pub(super) fn at_once(guard: &mut LockGuard) -> Option<bool> {
        guard.release_at_once().map(|release| release == Release::AlreadyLost)
    }

    /// Of a lock that could not be released [at once](Self::at_once).
    pub(super) fn later(guard: &LockGuard, patience: Duration) -> Self {
        Self { releasing: guard.release_later(), patience, timer: None }
    }
}

impl Future for BoundedRelease {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        if let Poll::Ready(answer) = Pin::new(&mut self.releasing).poll(cx) {
            return Poll::Ready(matches!(answer, Ok(Release::AlreadyLost)));
        }
        let patience = self.patience;
        self.timer.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx).map(|()| false)
    }
}

impl fmt::Debug for BoundedRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedRelease").field("patience", &self.patience).finish_non_exhaustive()
    }
}
