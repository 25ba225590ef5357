//! The futures of acquiring and releasing, which need no box when the answer is there at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Release;
use crate::{LockError, LockGuard};

/// A boxed future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What comes of an acquire: a guard, `None` if somebody else holds the lock still, or an error.
pub type Acquired = Result<Option<LockGuard>, LockError>;

/// An acquire under way.
///
/// Made by a [`LockBackend`](super::LockBackend). Dropping it is the cancellation.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquiring(Answer<Acquired>);

impl Acquiring {
    /// The answer, known at once.
    #[inline]
    pub fn ready(answer: Acquired) -> Self {
        Self(Answer::Ready(Some(answer)))
    }

    /// An answer that takes a while.
    pub fn pending<F>(answer: F) -> Self
    where
        F: Future<Output = Acquired> + Send + 'static,
    {
        Self(Answer::Pending(Box::pin(answer)))
    }

    /// Puts an answer that is known into its place, and otherwise returns the future of it.
    pub(super) fn into_place(self, place: &mut Acquired) -> Option<BoxFuture<'static, Acquired>> {
        match self.0 {
            Answer::Pending(future) => Some(future),
            Answer::Ready(Some(answer)) => {
                *place = answer;
                None
            }
            // Its answer was taken by somebody else.
            Answer::Ready(None) => Some(Box::pin(std::future::pending())),
        }
    }
}

impl From<BoxFuture<'static, Acquired>> for Acquiring {
    fn from(answer: BoxFuture<'static, Acquired>) -> Self {
        Self(Answer::Pending(answer))
    }
}

impl Future for Acquiring {
    type Output = Acquired;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

/// A release under way. It goes on in the background if this is dropped.
///
/// Made by a [`Lease`](super::Lease).
#[derive(Debug)]
#[must_use = "the release goes on without it, but its answer is lost"]
pub struct Releasing(Answer<Result<Release, LockError>>);

impl Releasing {
    /// The answer, known at once.
    pub fn ready(answer: Result<Release, LockError>) -> Self {
        Self(Answer::Ready(Some(answer)))
    }

    /// An answer that takes a while. The future only waits for it: the release itself is done by something
    /// that the provider owns.
    pub fn pending<F>(answer: F) -> Self
    where
        F: Future<Output = Result<Release, LockError>> + Send + 'static,
    {
        Self(Answer::Pending(Box::pin(answer)))
    }
}

impl Future for Releasing {
    type Output = Result<Release, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx)
    }
}

enum Answer<T> {
    Ready(Option<T>),
    Pending(BoxFuture<'static, T>),
}

impl<T> Answer<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match self {
            // Polled again after its answer was taken: pending for ever, as the contract of `Future` allows.
            Self::Ready(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Self::Pending(future) => future.as_mut().poll(cx),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}
