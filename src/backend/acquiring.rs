//! [`Acquiring`]: the future of an acquire.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::GrantedLease;
use super::future::{Answer, BoxFuture};
use crate::LockError;

/// The result of an acquire: a lease, `None` if another caller still holds the lock, or an error.
pub type Acquired = Result<Option<GrantedLease>, LockError>;

/// An acquire in progress.
///
/// Made by a [`LockBackend`](super::LockBackend). Dropping it cancels the acquire.
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Acquiring(Answer<Acquired>);

impl Acquiring {
    /// A result that is known already. It needs no allocation.
    #[inline]
    pub fn ready(answer: Acquired) -> Self {
        Self(Answer::Ready(Some(answer)))
    }

    /// A result that is not known yet: the future resolves with it.
    pub fn pending<F>(answer: F) -> Self
    where
        F: Future<Output = Acquired> + Send + 'static,
    {
        Self(Answer::Pending(Box::pin(answer)))
    }

    /// Writes a result that is known already to `place`. Otherwise returns the future that resolves with it.
    pub(super) fn into_place(self, place: &mut Acquired) -> Option<BoxFuture<'static, Acquired>> {
        match self.0 {
            Answer::Pending(future) => Some(future),
            Answer::Ready(Some(answer)) => {
                *place = answer;
                None
            }
            // The backend has polled this future itself and taken the result.
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
