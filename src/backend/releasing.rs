//! [`Releasing`]: the future of a release, and [`Release`], what comes of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::future::Answer;
use crate::LockError;

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Release {
    /// The lock was ours until now, and is free.
    Released,
    /// The lock had been lost before: the lease had ended, or the lock had been taken away on the backend. Nothing was
    /// changed.
    AlreadyLost,
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
