//! [`LockedCall`]: one request from its lock to its answer. What both layers do alike.

use std::future::Future;
#[cfg(feature = "http")]
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;

use super::OnLost;
use super::acquire_state::AcquireState;
use crate::backend::Acquired;
use crate::{LockError, LockGuard, Lost};

/// What is done with a request once its lock is held, before it is passed on.
pub(crate) trait Enter<R> {
    fn enter(&self, request: &mut R, guard: &LockGuard);
}

/// Nothing is done.
impl<R> Enter<R> for () {
    fn enter(&self, _: &mut R, _: &LockGuard) {}
}

/// Acquires, waits for readiness, calls, and watches for a loss.
///
/// The fields are in the order in which they have to be dropped: what runs under the lock, and the lock last. The guard
/// is put here once, and the request stays where it is until it is passed on: nothing moves from stage to stage.
#[pin_project(project = LockedCallProjection)]
pub(crate) struct LockedCall<S: Service<R>, R, H> {
    #[pin]
    stage: Stage<S, S::Future, R>,
    watch: Watch,
    /// The guard, once there is one. An answer, since that is what a backend makes the guard in.
    guard: Acquired,
    hook: H,
}

#[pin_project(project = StageProjection, project_replace = StageTaken)]
enum Stage<S, F, R> {
    /// The request waits for its lock, and then for the inner service to be ready.
    Preparing {
        service: S,
        request: R,
        taking: AcquireState,
    },
    /// The inner service works.
    Calling {
        #[pin]
        response: F,
    },
    Ended,
}

/// What the inner service answers.
pub(crate) type Answer<S, R> = Result<<S as Service<R>>::Response, <S as Service<R>>::Error>;

/// Looks out for a loss of the lock, if that ends the request.
struct Watch {
    on_lost: OnLost,
    /// Set up only for who has to wait under the lock.
    lost: Option<Lost>,
}

impl<S, R, H> LockedCall<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    #[inline]
    pub(crate) fn new(service: S, request: R, taking: AcquireState, on_lost: OnLost, hook: H) -> Self {
        let stage = Stage::Preparing { service, request, taking };
        Self { stage, watch: Watch { on_lost, lost: None }, guard: Ok(None), hook }
    }
}

impl<S: Service<R>, R, H> LockedCall<S, R, H> {
    /// The guard of a request that is running, or has been answered.
    #[inline]
    pub(super) fn guard(self: Pin<&mut Self>) -> Option<&mut LockGuard> {
        self.project().guard.as_mut().ok()?.as_mut()
    }

    /// The same, for whoever goes on with it.
    #[cfg(feature = "http")]
    pub(crate) fn take_guard(self: Pin<&mut Self>) -> Option<LockGuard> {
        mem::replace(self.project().guard, Ok(None)).ok().flatten()
    }

    /// Whether the inner service has been called, under a lock, and has not answered.
    #[cfg(feature = "http")]
    pub(crate) fn is_calling_under_lock(&self) -> bool {
        matches!(self.guard, Ok(Some(_))) && matches!(self.stage, Stage::Calling { .. })
    }
}

impl<S, R, H> LockedCall<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    /// The answer of the inner service, whose future has been dropped; or why there was no lock, or not for long enough.
    /// The guard, if there was one, stays [where it is](Self::guard), and its lock is held still.
    #[inline]
    pub(crate) fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Answer<S, R>, LockError>> {
        let mut this = self.project();
        if let StageProjection::Preparing { service, taking, .. } = this.stage.as_mut().project() {
            if let Err(error) = ready!(taking.poll(cx, this.guard)) {
                return Poll::Ready(this.refuse(error));
            }
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    this.end();
                    return Poll::Ready(Ok(Err(error)));
                }
                Poll::Pending => {
                    // Readiness may take longer than the lease.
                    ready!(this.watch.poll(granted(this.guard), cx));
                    return Poll::Ready(this.refuse(LockError::Lost));
                }
            }
            if this.watch.is_lost(granted(this.guard)) {
                return Poll::Ready(this.refuse(LockError::Lost));
            }
            let taken = this.stage.as_mut().project_replace(Stage::Ended);
            let StageTaken::Preparing { mut service, mut request, .. } = taken else { return Poll::Pending };
            if let Some(guard) = granted(this.guard) {
                this.hook.enter(&mut request, guard);
            }
            this.stage.set(Stage::Calling { response: service.call(request) });
        }

        let StageProjection::Calling { response } = this.stage.as_mut().project() else { return Poll::Pending };
        // A signal that is set up already goes before the inner service: it must not run on.
        let watched = this.watch.lost.is_some();
        if watched && this.watch.poll(granted(this.guard), cx).is_ready() {
            return Poll::Ready(this.refuse(LockError::Lost));
        }
        if let Poll::Ready(answer) = response.poll(cx) {
            this.stage.set(Stage::Ended);
            if answer.is_ok() && this.watch.is_lost(granted(this.guard)) {
                // It may have a body, which has to be dropped under its lock.
                drop(answer);
                return Poll::Ready(this.refuse(LockError::Lost));
            }
            this.end();
            return Poll::Ready(Ok(answer));
        }
        // Set up only for an inner service that takes a while, and polled once a turn.
        if !watched {
            ready!(this.watch.poll(granted(this.guard), cx));
            return Poll::Ready(this.refuse(LockError::Lost));
        }
        Poll::Pending
    }
}

fn granted(answer: &Acquired) -> Option<&LockGuard> {
    answer.as_ref().ok()?.as_ref()
}

impl<S: Service<R>, R, H> LockedCallProjection<'_, S, R, H> {
    /// Drops all that ran under the lock.
    #[inline]
    fn end(&mut self) {
        self.stage.set(Stage::Ended);
        self.watch.lost = None;
    }

    /// The same, and the lock too.
    fn refuse<T>(&mut self, error: LockError) -> Result<T, LockError> {
        self.end();
        *self.guard = Ok(None);
        Err(error)
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
