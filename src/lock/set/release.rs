//! [`SetRelease`]: the release of all locks of a set.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::backend::Releasing;
use crate::{LockError, LockGuard, Release};

/// Resolves when every release has its reply. Dropped, they go on in the background.
///
/// A loss counts more than a missing reply: work under the set may have overlapped with that of another holder.
pub(crate) struct SetRelease {
    pending: Vec<Releasing>,
    result: Result<Release, LockError>,
}

impl SetRelease {
    pub(super) fn new() -> Self {
        Self { pending: Vec::new(), result: Ok(Release::Released) }
    }

    /// Begins the release of one more lock.
    pub(super) fn begin(&mut self, mut guard: LockGuard) {
        match guard.release_at_once() {
            Some(released) => self.count(Ok(released)),
            None => self.pending.push(guard.release_later()),
        }
    }

    /// The result, if it is known already.
    pub(crate) fn at_once(self) -> Result<Result<Release, LockError>, Self> {
        if self.pending.is_empty() { Ok(self.result) } else { Err(self) }
    }

    fn count(&mut self, one: Result<Release, LockError>) {
        match (&self.result, &one) {
            (Ok(Release::Released), _) | (Err(_), Ok(Release::AlreadyLost)) => self.result = one,
            (Ok(Release::AlreadyLost) | Err(_), _) => {}
        }
    }
}

impl Future for SetRelease {
    type Output = Result<Release, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain_mut(|releasing| match Pin::new(releasing).poll(cx) {
            Poll::Ready(one) => {
                self.count(one);
                false
            }
            Poll::Pending => true,
        });
        self.pending = pending;
        if self.pending.is_empty() { Poll::Ready(self.result.clone()) } else { Poll::Pending }
    }
}
