//! [`Acquiring`]: the future of an acquire.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::GrantedLease;
use super::future::{Answer, BoxFuture};
use crate::LockError;

/// What comes of an acquire: a lease, `None` if another caller still holds the lock, or an error.
pub type Acquired = Result<Option<GrantedLease>, LockError>;

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
            // The backend took the answer itself.
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
