//! [`Running`]: one request from its lock to its answer. What both layers do alike.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tower_service::Service;

use super::OnLost;
use super::taking::Taking;
use crate::mutant::{Mutant, is};
use crate::{DistributedLock, LockError, LockGuard, Lost};

/// What is done with a request once its lock is held, before it is passed on.
pub(crate) trait Enter<R> {
    fn enter(&self, request: &mut R, guard: &LockGuard);
}

/// Nothing is done.
impl<R> Enter<R> for () {
    fn enter(&self, _: &mut R, _: &LockGuard) {}
}

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Outcome<T, E> {
    /// The inner service answered. Its future has been dropped; the lock, if there was one, is held still.
    Answered(Result<T, E>, Option<LockGuard>),
    /// There was no lock, or not for long enough.
    Refused(LockError),
}

/// Acquires, waits for readiness, calls, and watches for a loss.
///
/// The fields are in the order in which they have to be dropped: what runs under the lock, and the lock last. The guard
/// is put here once, and the request stays where it is until it is passed on: nothing moves from stage to stage.
#[pin_project(project = RunningProjection)]
pub(crate) struct Running<S: Service<R>, R, H> {
    #[pin]
    stage: Stage<S, S::Future, R>,
    watch: Watch,
    guard: Option<LockGuard>,
    hook: H,
}

#[pin_project(project = StageProjection, project_replace = StageTaken)]
enum Stage<S, F, R> {
    /// The request waits for its lock, and then for the inner service to be ready.
    Preparing {
        service: S,
        request: R,
        taking: Taking,
    },
    /// The inner service works.
    Calling {
        #[pin]
        response: F,
    },
    Ended,
}

/// Looks out for a loss of the lock, if that ends the request.
struct Watch {
    on_lost: OnLost,
    /// Set up only for who has to wait under the lock.
    lost: Option<Lost>,
}

impl<S, R, H> Running<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    /// `lock` is the lock to take: none if the request needs none, an error if it is to be refused.
    #[inline]
    pub(crate) fn new(
        service: S,
        request: R,
        lock: Result<Option<DistributedLock>, LockError>,
        wait: Duration,
        on_lost: OnLost,
        hook: H,
    ) -> Self {
        let stage = Stage::Preparing { service, request, taking: Taking::new(lock, wait) };
        let on_lost = if is(Mutant::LossCancelsNothing) { OnLost::Continue } else { on_lost };
        Self { stage, watch: Watch { on_lost, lost: None }, guard: None, hook }
    }
}

impl<S: Service<R>, R, H> Running<S, R, H> {
    /// Whether the inner service has been called, under a lock, and has not answered.
    #[cfg(feature = "http")]
    pub(crate) fn is_calling_under_lock(&self) -> bool {
        self.guard.is_some() && matches!(self.stage, Stage::Calling { .. })
    }
}

impl<S, R, H> Future for Running<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    type Output = Outcome<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageProjection::Preparing { service, request, taking } = this.stage.as_mut().project() {
            match ready!(taking.poll(cx)) {
                Ok(Some(guard)) => {
                    let guard = this.guard.insert(guard);
                    this.hook.enter(request, guard);
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(this.refuse(error)),
            }
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Outcome::Answered(Err(error), this.end())),
                Poll::Pending => {
                    // Readiness may take longer than the lease.
                    ready!(this.watch.poll(this.guard.as_ref(), cx));
                    return Poll::Ready(this.refuse(LockError::Lost));
                }
            }
            if this.watch.is_lost(this.guard.as_ref()) {
                return Poll::Ready(this.refuse(LockError::Lost));
            }
            let StageTaken::Preparing { mut service, request, .. } = this.stage.as_mut().project_replace(Stage::Ended)
            else {
                return Poll::Pending;
            };
            this.stage.set(Stage::Calling { response: service.call(request) });
        }

        let StageProjection::Calling { response } = this.stage.as_mut().project() else { return Poll::Pending };
        // A signal that is set up already goes before the inner service: it must not run on.
        let watched = this.watch.lost.is_some();
        if watched && this.watch.poll(this.guard.as_ref(), cx).is_ready() {
            return Poll::Ready(this.refuse(LockError::Lost));
        }
        if let Poll::Ready(answer) = response.poll(cx) {
            this.stage.set(Stage::Ended);
            if answer.is_ok() && this.watch.is_lost(this.guard.as_ref()) {
                // It may have a body, which has to be dropped under its lock.
                drop(answer);
                return Poll::Ready(this.refuse(LockError::Lost));
            }
            return Poll::Ready(Outcome::Answered(answer, this.end()));
        }
        // Set up only for an inner service that takes a while, and polled once a turn.
        if !watched {
            ready!(this.watch.poll(this.guard.as_ref(), cx));
            return Poll::Ready(this.refuse(LockError::Lost));
        }
        Poll::Pending
    }
}

impl<S: Service<R>, R, H> RunningProjection<'_, S, R, H> {
    /// Drops all that ran under the lock, and hands on the lock.
    #[inline]
    fn end(&mut self) -> Option<LockGuard> {
        self.stage.set(Stage::Ended);
        self.watch.lost = None;
        self.guard.take()
    }

    fn refuse<T, E>(&mut self, error: LockError) -> Outcome<T, E> {
        drop(self.end());
        Outcome::Refused(error)
    }
}

impl Watch {
    /// Whether the lock is lost, and the request is to end with it.
    #[inline]
    fn is_lost(&self, guard: Option<&LockGuard>) -> bool {
        self.on_lost == OnLost::Cancel && guard.is_some_and(|guard| !guard.is_held())
    }

    /// Polls the signal, which is set up before if need be. Pending for ever where a loss ends nothing.
    fn poll(&mut self, guard: Option<&LockGuard>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(guard) = guard.filter(|_| self.on_lost == OnLost::Cancel) else { return Poll::Pending };
        Pin::new(self.lost.get_or_insert_with(|| guard.lost())).poll(cx)
    }
}
