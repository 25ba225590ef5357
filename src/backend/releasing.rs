//! [`Releasing`]: the future of a release, and [`Release`], its result.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::future::Answer;
use crate::LockError;

/// How a release ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Release {
    /// The lock was held until this release, and is free now.
    Released,
    /// The lock was lost before: its lease had ended, or the backend reported another owner. Nothing was changed.
    AlreadyLost,
}

/// A release in progress. It continues in the background if this is dropped.
///
/// Made by a [`Lease`](super::Lease).
#[derive(Debug)]
#[must_use = "the release continues without it, but its result is lost"]
pub struct Releasing(Answer<Result<Release, LockError>>);

impl Releasing {
    /// A result that is known already.
    pub fn ready(answer: Result<Release, LockError>) -> Self {
        Self(Answer::Ready(Some(answer)))
    }

    /// A result that is not known yet. The future only waits for it: the release itself must be done by a task or value
    /// of the provider, so that it continues when the future is dropped.
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
