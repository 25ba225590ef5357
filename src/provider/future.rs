//! The futures of acquiring and releasing, which need no box when the answer is there at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Release;
use crate::observe::Attempt;
use crate::{LockError, LockGuard};

/// A boxed future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An acquire under way: resolves to a guard, to `None` if somebody else holds the lock still, or to an error.
///
/// Made by a [`LockBackend`](super::LockBackend). Dropping it is the cancellation.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquiring {
    answer: Answer<Result<Option<LockGuard>, LockError>>,
    /// Who is told of the answer, if anybody is.
    attempt: Attempt,
}

impl Acquiring {
    /// The answer, known at once.
    #[inline]
    pub fn ready(answer: Result<Option<LockGuard>, LockError>) -> Self {
        Self { answer: Answer::Ready(Some(answer)), attempt: Attempt::none() }
    }

    /// An answer that takes a while.
    pub fn pending<F>(answer: F) -> Self
    where
        F: Future<Output = Result<Option<LockGuard>, LockError>> + Send + 'static,
    {
        Self { answer: Answer::Pending(Box::pin(answer)), attempt: Attempt::none() }
    }

    /// The same, with somebody who is told of the answer.
    #[inline]
    pub(crate) fn observed(mut self, attempt: Attempt) -> Self {
        self.attempt = attempt;
        self
    }

    /// The answer if it is there already, else the future that it takes. The usual answer of a free lock is handed on
    /// from where the backend wrote it, and not moved with a future that nobody has to keep.
    #[inline]
    pub(crate) fn at_once(mut self) -> Result<Result<Option<LockGuard>, LockError>, Self> {
        match &mut self.answer {
            Answer::Pending(_) => Err(self),
            Answer::Ready(answer) => {
                let Some(answer) = answer.take() else { return Err(self) };
                self.attempt.end(&answer);
                Ok(answer)
            }
        }
    }
}

impl Future for Acquiring {
    type Output = Result<Option<LockGuard>, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.answer.poll(cx);
        if let Poll::Ready(answer) = &polled {
            self.attempt.end(answer);
        }
        polled
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
