//! [`ResponseFuture`]: what a [`LockService`](super::LockService) answers with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;

use super::OnLost;
use super::running::{Outcome, Running};
use crate::provider::Releasing;
use crate::{BoxError, LockError, Release};

type KeptBack<T, E> = (Result<T, E>, Releasing);

/// Waits for the lock, runs the inner service under it, and releases it before it resolves.
///
/// # Cancel safety
///
/// Dropping it gives up the place in the queue, or drops the inner future and then releases the lock.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S: Service<R>, R> {
    #[pin]
    running: Running<S, R, ()>,
    /// The answer, kept back until the lock is free.
    releasing: Option<KeptBack<S::Response, S::Error>>,
    on_lost: OnLost,
}

impl<S: Service<R>, R> ResponseFuture<S, R> {
    pub(super) fn new(running: Running<S, R, ()>, on_lost: OnLost) -> Self {
        Self { running, releasing: None, on_lost }
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
        loop {
            if let Some((_, releasing)) = this.releasing {
                let released = ready!(Pin::new(releasing).poll(cx));
                let Some((answer, _)) = this.releasing.take() else { return Poll::Pending };
                // That it was not answered says nothing about the answer, and it goes on in the background.
                let released = released.unwrap_or(Release::Released);
                return Poll::Ready(unless_lost(answer, released, *this.on_lost));
            }
            match ready!(this.running.as_mut().poll(cx)) {
                Outcome::Refused(error, _) => return Poll::Ready(Err(error.into())),
                Outcome::Answered(answer, None) => return Poll::Ready(answer.map_err(Into::into)),
                Outcome::Answered(answer, Some(mut guard)) => match guard.release_at_once() {
                    Some(released) => return Poll::Ready(unless_lost(answer, released, *this.on_lost)),
                    None => *this.releasing = Some((answer, guard.release_later())),
                },
            }
        }
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
