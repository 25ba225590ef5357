//! [`RequestTask`]: a request that ends with its client, or one that goes on without.
//!
//! # How a handler outlives its client
//!
//! A server tells that a client is gone by dropping the response future, and by nothing else. So the request runs
//! where every request does, and only what is left of it at the drop moves to a task of its own. As long as the client
//! is there nothing differs: a panic passes to whoever polls, and what stands around the layer (spans, task-locals) is
//! around the handler.
//!
//! Three things are not carried on: a request that still waits for its lock or for the inner service, since its
//! handler has not begun; one without a lock, with which the layer has nothing to do; and one whose last poll ended
//! in a panic, since what panicked must not be polled again.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::runtime::Handle;
use tower_service::Service;

use crate::tower::{Enter, LockedCall};
use crate::{LockError, LockGuard};

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome<T, E> {
    /// The inner service answered. Its future has been dropped; the lock, if there was one, is held still.
    Answered(Result<T, E>, Option<LockGuard>),
    /// There was no lock, or not for long enough.
    Refused(LockError),
}

impl<S, R, H> Future for LockedCall<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    type Output = Outcome<S::Response, S::Error>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(self.as_mut().poll_answer(cx)) {
            Ok(answer) => Outcome::Answered(answer, self.take_guard()),
            Err(error) => Outcome::Refused(error),
        })
    }
}

#[pin_project(project = RequestTaskProjection)]
pub(super) enum RequestTask<S: Service<R>, R, H> {
    Attached(#[pin] LockedCall<S, R, H>),
    Detachable(DetachOnDrop<Outcome<S::Response, S::Error>>),
}

impl<S, R, H> Future for RequestTask<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    type Output = Outcome<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RequestTaskProjection::Attached(running) => running.poll(cx),
            RequestTaskProjection::Detachable(finishing) => Pin::new(finishing).poll(cx),
        }
    }
}

/// Polls a request, and moves it to a task when dropped in the middle of its handler.
pub(super) struct DetachOnDrop<O> {
    running: Option<Pin<Box<dyn Finish<Output = O> + Send>>>,
    /// That of the first poll: the drop may come from anywhere.
    runtime: Option<Handle>,
    /// Set while a poll is under way, and so ever after one that ended in a panic.
    polling: bool,
}

/// A request that can be carried on. A trait, since a drop cannot ask for more than the type does: what a task needs
/// is known where the request is boxed.
trait Finish: Future {
    /// Whether the handler has been called, under a lock, and has not answered.
    fn is_under_way(&self) -> bool;

    fn finish(self: Pin<Box<Self>>, runtime: &Handle);
}

impl<O> DetachOnDrop<O> {
    pub(super) fn new<S, R, H>(running: LockedCall<S, R, H>) -> Self
    where
        S: Service<R, Future: Send + 'static, Response: Send + 'static, Error: Send + 'static> + Send + 'static,
        R: Send + 'static,
        H: Enter<R> + Send + 'static,
        LockedCall<S, R, H>: Future<Output = O>,
    {
        Self { running: Some(Box::pin(running)), runtime: None, polling: false }
    }
}

impl<S, R, H> Finish for LockedCall<S, R, H>
where
    S: Service<R, Future: Send + 'static, Response: Send + 'static, Error: Send + 'static> + Send + 'static,
    R: Send + 'static,
    H: Enter<R> + Send + 'static,
{
    fn is_under_way(&self) -> bool {
        self.is_calling_under_lock()
    }

    fn finish(self: Pin<Box<Self>>, runtime: &Handle) {
        // Dropped at once if the runtime is shutting down, the handler first and then its lock.
        drop(runtime.spawn(async move {
            if let Outcome::Answered(answer, guard) = self.await {
                // A body has to be dropped under its lock.
                drop(answer);
                drop(guard);
            }
        }));
    }
}

impl<O> Future for DetachOnDrop<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = &mut *self;
        let Some(running) = &mut this.running else { return Poll::Pending };
        if this.runtime.is_none() {
            this.runtime = Handle::try_current().ok();
        }
        this.polling = true;
        let polled = running.as_mut().poll(cx);
        this.polling = false;
        if polled.is_ready() {
            this.running = None;
        }
        polled
    }
}

impl<O> Drop for DetachOnDrop<O> {
    fn drop(&mut self) {
        if let (Some(running), Some(runtime), false) = (self.running.take(), &self.runtime, self.polling)
            && running.is_under_way()
        {
            running.finish(runtime);
        }
    }
}

impl<O> fmt::Debug for DetachOnDrop<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachOnDrop").finish_non_exhaustive()
    }
}
