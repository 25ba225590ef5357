//! [`LockedCall`]: one request, from its acquire to the answer of the inner service. Shared by both layers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;

use super::OnLost;
use super::acquire_state::{AcquireState, Refused};
use crate::lock::Held;
use crate::{LockError, Lost};

/// Changes a request after its locks were granted and before the inner service is called.
pub(crate) trait BeforeCall<R> {
    fn before_call(&self, request: &mut R, held: &Held);
}

impl<R> BeforeCall<R> for () {
    fn before_call(&self, _: &mut R, _: &Held) {}
}

/// Acquires the lock, waits until the inner service is ready, calls it, and watches for a loss of the lock.
///
/// Fields are dropped in order of declaration, so the guards come after everything that runs under their locks. They and the
/// request are not moved between states: the guard of a single lock is written into its field, and the request stays in
/// `Preparing` until it is passed on.
#[pin_project(project = LockedCallProjection)]
pub(crate) struct LockedCall<S: Service<R>, R, H> {
    #[pin]
    state: CallState<S, S::Future, R>,
    watch: LossWatch,
    /// `None` before the grant.
    held: Option<Held>,
    hook: H,
}

#[pin_project(project = StateProjection, project_replace = OwnedState)]
enum CallState<S, F, R> {
    /// The request waits for its lock, and then for the inner service to be ready.
    Preparing {
        service: S,
        request: R,
        acquire: AcquireState,
    },
    Calling {
        #[pin]
        response: F,
    },
    Ended,
}

/// What the inner service answers.
pub(crate) type Answer<S, R> = Result<<S as Service<R>>::Response, <S as Service<R>>::Error>;

/// Watches for a loss of the lock, if a loss ends the request.
struct LossWatch {
    on_lost: OnLost,
    /// Made when the request first has to wait under the lock.
    lost: Option<Lost>,
}

impl<S, R, H> LockedCall<S, R, H>
where
    S: Service<R>,
    H: BeforeCall<R>,
{
    #[inline]
    pub(crate) fn new(service: S, request: R, acquire: AcquireState, on_lost: OnLost, hook: H) -> Self {
        let state = CallState::Preparing { service, request, acquire };
        Self { state, watch: LossWatch { on_lost, lost: None }, held: None, hook }
    }
}

impl<S: Service<R>, R, H> LockedCall<S, R, H> {
    /// What a request holds that is running, or has been answered.
    #[inline]
    pub(super) fn held(self: Pin<&mut Self>) -> Option<&mut Held> {
        self.project().held.as_mut()
    }

    /// Takes the locks out of the call.
    #[cfg(feature = "http")]
    pub(crate) fn take_held(self: Pin<&mut Self>) -> Option<Held> {
        self.project().held.take()
    }

    /// Whether the inner service has been called, under a lock, and has not answered.
    #[cfg(feature = "http")]
    pub(crate) fn is_calling_under_lock(&self) -> bool {
        self.held.is_some() && matches!(self.state, CallState::Calling { .. })
    }
}

impl<S, R, H> LockedCall<S, R, H>
where
    S: Service<R>,
    H: BeforeCall<R>,
{
    /// The answer of the inner service, whose future has been dropped then; or why the lock was not granted, or that it
    /// was lost. With an answer the lock is still held, and stays [in place](Self::held).
    #[inline]
    pub(crate) fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Answer<S, R>, Refused>> {
        let mut this = self.project();
        if let StateProjection::Preparing { service, acquire, .. } = this.state.as_mut().project() {
            if let Err(error) = ready!(acquire.poll(cx, this.held)) {
                return Poll::Ready(this.refuse(error));
            }
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    this.end();
                    return Poll::Ready(Ok(Err(error)));
                }
                Poll::Pending => {
                    // The inner service may take longer to become ready than the lease lasts.
                    ready!(this.watch.poll(this.held.as_ref(), cx));
                    return Poll::Ready(this.refuse(LockError::Lost.into()));
                }
            }
            if this.watch.is_lost(this.held.as_ref()) {
                return Poll::Ready(this.refuse(LockError::Lost.into()));
            }
            let prepared = this.state.as_mut().project_replace(CallState::Ended);
            let OwnedState::Preparing { mut service, mut request, .. } = prepared else { return Poll::Pending };
            if let Some(held) = this.held.as_ref() {
                this.hook.before_call(&mut request, held);
            }
            this.state.set(CallState::Calling { response: service.call(request) });
        }

        let StateProjection::Calling { response } = this.state.as_mut().project() else { return Poll::Pending };
        // Polled before the inner service, which must not run on after a loss.
        let watched = this.watch.lost.is_some();
        if watched && this.watch.poll(this.held.as_ref(), cx).is_ready() {
            return Poll::Ready(this.refuse(LockError::Lost.into()));
        }
        if let Poll::Ready(answer) = response.poll(cx) {
            this.state.set(CallState::Ended);
            if answer.is_ok() && this.watch.is_lost(this.held.as_ref()) {
                // It may have a body, which has to be dropped while the lock is held.
                drop(answer);
                return Poll::Ready(this.refuse(LockError::Lost.into()));
            }
            this.end();
            return Poll::Ready(Ok(answer));
        }
        // The signal is made only for an inner service that does not answer at its first poll.
        if !watched {
            ready!(this.watch.poll(this.held.as_ref(), cx));
            return Poll::Ready(this.refuse(LockError::Lost.into()));
        }
        Poll::Pending
    }
}

impl<S: Service<R>, R, H> LockedCallProjection<'_, S, R, H> {
    /// Drops everything that ran under the lock.
    #[inline]
    fn end(&mut self) {
        self.state.set(CallState::Ended);
        self.watch.lost = None;
    }

    /// Drops everything that ran under the lock, then releases it.
    fn refuse<T>(&mut self, refused: Refused) -> Result<T, Refused> {
        self.end();
        *self.held = None;
        Err(refused)
    }
}

impl LossWatch {
    /// Whether the lock is lost and the loss ends the request.
    #[inline]
    fn is_lost(&self, held: Option<&Held>) -> bool {
        self.on_lost == OnLost::Cancel && held.is_some_and(|held| !held.is_held())
    }

    /// Ready when the lock is lost. Pending for ever if a loss does not end the request.
    fn poll(&mut self, held: Option<&Held>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(held) = held.filter(|_| self.on_lost == OnLost::Cancel) else { return Poll::Pending };
        Pin::new(self.lost.get_or_insert_with(|| held.lost())).poll(cx)
    }
}
