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
                // Only the release tells of a loss that the backend alone could see. That it was not answered
                // says nothing about the answer, and it goes on in the background.
                let lost = *this.on_lost == OnLost::Cancel && released.is_ok_and(|it| it == Release::AlreadyLost);
                return Poll::Ready(match answer {
                    Ok(_) if lost => Err(LockError::Lost.into()),
                    answer => answer.map_err(Into::into),
                });
            }
            match ready!(this.running.as_mut().poll(cx)) {
                Outcome::Refused(error, _) => return Poll::Ready(Err(error.into())),
                Outcome::Answered(answer, None) => return Poll::Ready(answer.map_err(Into::into)),
                Outcome::Answered(answer, Some(mut guard)) => {
                    *this.releasing = Some((answer, guard.start_release()));
                }
            }
        }
    }
}

impl<S: Service<R>, R> fmt::Debug for ResponseFuture<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
