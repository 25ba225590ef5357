//! [`DetachOnDrop`]: lets a handler outlive its client.
//!
//! # How it works
//!
//! A server shows in one way only that a client is gone: it drops the response future. So the call is polled in place,
//! as without this wrapper, and moves to a task of its own when it is dropped. While the client is there nothing differs:
//! a panic reaches the caller, and the caller's spans and task-locals are set while the handler runs.
//!
//! Three kinds of call are dropped and not moved:
//!
//! - one that waits for its lock or for the inner service, since its handler has not begun;
//! - one without a lock, with which the layer has nothing to do;
//! - one whose last poll ended in a panic, since it must not be polled again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tower_service::Service;

use crate::lock::Held;
use crate::tower::{BeforeCall, LockedCall, Refused};

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome<T, E> {
    /// The inner service answered, and its future has been dropped. The locks are still held, if there are any.
    Answered(Result<T, E>, Option<Held>),
    /// The lock was not granted, or was lost.
    Refused(Refused),
}

impl<S, R, H> Future for LockedCall<S, R, H>
where
    S: Service<R>,
    H: BeforeCall<R>,
{
    type Output = Outcome<S::Response, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.as_mut().poll_answer(cx)) {
            Ok(answer) => Outcome::Answered(answer, self.take_held()),
            Err(refused) => Outcome::Refused(refused),
        })
    }
}

/// Polls a call, and moves it to a task if it is dropped while its handler runs.
pub(super) struct DetachOnDrop<O> {
    call: Option<Pin<Box<dyn DetachableCall<Output = O> + Send>>>,
    /// The runtime of the first poll. The drop may come from a thread that has none.
    runtime: Option<Handle>,
    /// True during a poll, and for ever after a poll that panicked.
    polling: bool,
}

/// A call that can go on in a task. It is a trait because `Drop` cannot have bounds that the type does not have: the
/// bounds of a task are checked where the call is boxed.
trait DetachableCall: Future {
    /// Whether the handler has been called under a lock and has not answered.
    fn is_in_handler(&self) -> bool;

    fn detach(self: Pin<Box<Self>>, runtime: &Handle);
}

impl<O> DetachOnDrop<O> {
    pub(super) fn new<S, R, H>(call: LockedCall<S, R, H>) -> Self
    where
        S: Service<R, Future: Send + 'static, Response: Send + 'static, Error: Send + 'static> + Send + 'static,
        R: Send + 'static,
        H: BeforeCall<R> + Send + 'static,
        LockedCall<S, R, H>: Future<Output = O>,
    {
        Self { call: Some(Box::pin(call)), runtime: None, polling: false }
    }
}

impl<S, R, H> DetachableCall for LockedCall<S, R, H>
where
    S: Service<R, Future: Send + 'static, Response: Send + 'static, Error: Send + 'static> + Send + 'static,
    R: Send + 'static,
    H: BeforeCall<R> + Send + 'static,
{
    fn is_in_handler(&self) -> bool {
        self.is_calling_under_lock()
    }

    fn detach(self: Pin<Box<Self>>, runtime: &Handle) {
        // A runtime that is shutting down drops the task at once: first the handler, then its lock.
        drop(runtime.spawn(async move {
            if let Outcome::Answered(answer, held) = self.await {
                // The body of the answer has to be dropped while the lock is held.
                drop(answer);
                drop(held);
            }
        }));
    }
}

impl<O> Future for DetachOnDrop<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = &mut *self;
        let Some(call) = &mut this.call else { return Poll::Pending };
        if this.runtime.is_none() {
            this.runtime = Handle::try_current().ok();
        }
        this.polling = true;
        let polled = call.as_mut().poll(cx);
        this.polling = false;
        if polled.is_ready() {
            this.call = None;
        }
        polled
    }
}

impl<O> Drop for DetachOnDrop<O> {
    fn drop(&mut self) {
        if let (Some(call), Some(runtime), false) = (self.call.take(), &self.runtime, self.polling)
            && call.is_in_handler()
        {
            call.detach(runtime);
        }
    }
}

impl<O> fmt::Debug for DetachOnDrop<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachOnDrop").finish_non_exhaustive()
    }
}
