//! [`BoxFuture`], and [`Answer`]: a result of a backend, which needs no box if it is known already.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A boxed future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A result that is known already, or the future that resolves with it.
pub(super) enum Answer<T> {
    Ready(Option<T>),
    Pending(BoxFuture<'static, T>),
}

impl<T> Answer<T> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        match self {
            // Polled again after the result was taken: pending for ever, as the contract of `Future` allows.
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
