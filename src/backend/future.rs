//! [`BoxFuture`], and the answers of a backend, which need no box when they are there at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A boxed future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An answer that is known, or a future of it.
pub(super) enum Answer<T> {
    Ready(Option<T>),
    Pending(BoxFuture<'static, T>),
}

impl<T> Answer<T> {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
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
