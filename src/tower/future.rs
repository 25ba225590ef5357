//! [`ResponseFuture`]: what a [`LockService`](super::LockService) answers with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;

use super::OnLost;
use super::locked_call::{Answer, LockedCall};
use super::response_state::{ResponseState, ResponseStateProjection, ResponseStateTaken};
use crate::backend::Releasing;
use crate::{BoxError, LockError, Release};

/// Waits for the lock, runs the inner service under it, and releases it before it resolves.
///
/// # Cancel safety
///
/// Dropping it gives up the place in the queue, or drops the inner future and then releases the lock.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<R>, R> {
    #[pin]
    stage: ResponseState<LockedCall<S, R, ()>, Answer<S, R>, Releasing>,
    on_lost: OnLost,
}

impl<S: Service<R>, R> ResponseFuture<S, R> {
    #[inline]
    pub(super) fn new(running: LockedCall<S, R, ()>, on_lost: OnLost) -> Self {
        Self { stage: ResponseState::LockedCall(running), on_lost }
    }
}

impl<S, R> Future for ResponseFuture<S, R>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let ResponseStateProjection::LockedCall(mut running) = this.stage.as_mut().project() {
            let answer = match ready!(running.as_mut().poll_answer(cx)) {
                Ok(answer) => answer,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            // Released where it is.
            let Some(guard) = running.guard() else { return Poll::Ready(answer.map_err(Into::into)) };
            match guard.release_at_once() {
                // The usual end, without a look at the answer.
                Some(Release::Released) => return Poll::Ready(answer.map_err(Into::into)),
                Some(released) => return Poll::Ready(unless_lost(answer, released, *this.on_lost)),
                None => {
                    let releasing = guard.release_later();
                    this.stage.set(ResponseState::Releasing(answer, releasing));
                }
            }
        }
        let ResponseStateProjection::Releasing(_, releasing) = this.stage.as_mut().project() else {
            return Poll::Pending;
        };
        // That it was not answered says nothing about the answer, and it goes on in the background.
        let released = ready!(Pin::new(releasing).poll(cx)).unwrap_or(Release::Released);
        let ResponseStateTaken::Releasing(answer, _) = this.stage.project_replace(ResponseState::Ended) else {
            return Poll::Pending;
        };
        Poll::Ready(unless_lost(answer, released, *this.on_lost))
    }
}

/// The answer of the inner service, unless the release tells of a loss: one that the backend alone could see.
fn unless_lost<T, E: Into<BoxError>>(answer: Result<T, E>, released: Release, on_lost: OnLost) -> Result<T, BoxError> {
    match answer {
        Ok(_) if released == Release::AlreadyLost && on_lost == OnLost::Cancel => Err(LockError::Lost.into()),
        answer => answer.map_err(Into::into),
    }
}

impl<S: Service<R>, R> fmt::Debug for ResponseFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
