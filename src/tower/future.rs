//! [`ResponseFuture`]: the response future of a [`LockService`](super::LockService).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;

use super::OnLost;
use super::locked_call::{Answer, LockedCall};
use crate::backend::Releasing;
use crate::{BoxError, LockError, Release};

/// Waits for the lock, runs the inner service under it, and releases it before it resolves.
///
/// # Cancel safety
///
/// Dropping it removes the request from the wait queue, or drops the inner future and then releases the lock.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<R>, R> {
    #[pin]
    state: ResponseState<S, R>,
    on_lost: OnLost,
}

// Not `expect`: how large it is depends on the features.
#[allow(clippy::large_enum_variant, reason = "a box would cost every request an allocation")]
#[pin_project(project = StateProjection, project_replace = OwnedState)]
enum ResponseState<S: Service<R>, R> {
    Running(#[pin] LockedCall<S, R, ()>),
    /// The answer is kept back until the lock is free. It comes first, so that a drop drops it under its lock.
    Releasing(Answer<S, R>, Releasing),
    Ended,
}

impl<S: Service<R>, R> ResponseFuture<S, R> {
    #[inline]
    pub(super) fn new(call: LockedCall<S, R, ()>, on_lost: OnLost) -> Self {
        Self { state: ResponseState::Running(call), on_lost }
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
        if let StateProjection::Running(mut call) = this.state.as_mut().project() {
            let answer = match ready!(call.as_mut().poll_answer(cx)) {
                Ok(answer) => answer,
                Err(refused) => return Poll::Ready(Err(refused.error.into())),
            };
            // Released in place: the guard is not moved out of the call.
            let Some(held) = call.held() else { return Poll::Ready(answer.map_err(Into::into)) };
            match held.release() {
                Ok(Release::Released) => return Poll::Ready(answer.map_err(Into::into)),
                Ok(released) => return Poll::Ready(unless_lost(answer, released, *this.on_lost)),
                Err(releasing) => this.state.set(ResponseState::Releasing(answer, releasing)),
            }
        }
        let StateProjection::Releasing(_, releasing) = this.state.as_mut().project() else {
            return Poll::Pending;
        };
        // A release without a reply does not make the answer wrong. It goes on in the background.
        let released = ready!(Pin::new(releasing).poll(cx)).unwrap_or(Release::Released);
        let OwnedState::Releasing(answer, _) = this.state.project_replace(ResponseState::Ended) else {
            return Poll::Pending;
        };
        Poll::Ready(unless_lost(answer, released, *this.on_lost))
    }
}

/// The answer of the inner service, or [`LockError::Lost`] if the reply to the release says that the lock was lost.
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
