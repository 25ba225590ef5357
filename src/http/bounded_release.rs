//! [`BoundedRelease`]: a release that an answer waits for, with a time limit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use crate::backend::{Release, Releasing};
use crate::lock::Held;

/// Resolves when the backend has replied to the release, or when its time is up: a silent backend must not hold back the
/// answer to the client for ever. The release goes on in the background then.
///
/// Resolves to `true` if the reply says that the lock had been lost.
pub(super) struct BoundedRelease {
    releasing: Releasing,
    timeout: Duration,
    /// Boxed, and made only if the backend does not reply at once: bodies and futures stay small.
    timer: Option<Pin<Box<Sleep>>>,
}

impl BoundedRelease {
    /// Releases the locks. `Ok(true)` if the backend has replied at once that one had been lost.
    #[inline]
    pub(super) fn begin(held: &mut Held, timeout: Duration) -> Result<bool, Self> {
        match held.release() {
            Ok(release) => Ok(release == Release::AlreadyLost),
            Err(releasing) => Err(Self { releasing, timeout, timer: None }),
        }
    }
}

impl Future for BoundedRelease {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        if let Poll::Ready(answer) = Pin::new(&mut self.releasing).poll(cx) {
            return Poll::Ready(matches!(answer, Ok(Release::AlreadyLost)));
        }
        let timeout = self.timeout;
        self.timer.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx).map(|()| false)
    }
}

impl fmt::Debug for BoundedRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedRelease").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}
