//! [`Running`]: one request from its lock to its answer. What both layers do alike.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::Instant;
use tower_service::Service;

use super::OnLost;
use crate::mutant::{Mutant, is};
use crate::provider::{Acquiring, Wait};
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
pub(crate) enum Outcome<T, E, R> {
    /// The inner service answered. Its future has been dropped; the lock, if there was one, is held still.
    Answered(Result<T, E>, Option<LockGuard>),
    /// There was no lock, or not for long enough. The request comes back if the inner service never had it.
    Refused(LockError, Option<R>),
}

/// Acquires, waits for readiness, calls, and watches for a loss.
#[pin_project]
pub(crate) struct Running<S: Service<R>, R, H> {
    #[pin]
    stage: Stage<S, S::Future, R>,
    hook: H,
    on_lost: OnLost,
}

/// The fields of each stage are in the order in which they have to be dropped: the guard last.
#[pin_project(project = StageProjection)]
enum Stage<S, F, R> {
    /// Nothing has happened yet: futures do nothing before they are polled.
    Created {
        call: Option<(S, R)>,
        lock: Result<Option<DistributedLock>, LockError>,
        wait: Wait,
    },
    /// Waits for the lock.
    Acquiring {
        call: Option<(S, R)>,
        acquiring: Acquiring,
        since: Option<Instant>,
    },
    /// Holds the lock, and waits for the inner service to be ready.
    Readying {
        call: Option<(S, R)>,
        lost: Option<Lost>,
        guard: Option<LockGuard>,
    },
    /// Holds the lock while the inner service works.
    Calling {
        #[pin]
        response: F,
        lost: Option<Lost>,
        guard: Option<LockGuard>,
    },
    Ended,
}

impl<S, R, H> Running<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    /// `lock` is the lock to take: none if the request needs none, an error if it is to be refused.
    pub(crate) fn new(
        service: S,
        request: R,
        lock: Result<Option<DistributedLock>, LockError>,
        wait: Duration,
        on_lost: OnLost,
        hook: H,
    ) -> Self {
        let stage = Stage::Created { call: Some((service, request)), lock, wait: Wait::from(wait) };
        let on_lost = if is(Mutant::LossCancelsNothing) { OnLost::Continue } else { on_lost };
        Self { stage, hook, on_lost }
    }
}

impl<S: Service<R>, R, H> Running<S, R, H> {
    /// Whether the inner service has been called, under a lock, and has not answered.
    #[cfg(feature = "http")]
    pub(crate) fn is_calling_under_lock(&self) -> bool {
        matches!(self.stage, Stage::Calling { guard: Some(_), .. })
    }
}

impl<S, R, H> Future for Running<S, R, H>
where
    S: Service<R>,
    H: Enter<R>,
{
    type Output = Outcome<S::Response, S::Error, R>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.stage.as_mut().project() {
                StageProjection::Created { call, lock, wait } => {
                    let call = call.take();
                    let answer = match std::mem::replace(lock, Ok(None)) {
                        Ok(None) => {
                            this.stage.set(Stage::Readying { call, lost: None, guard: None });
                            continue;
                        }
                        Ok(Some(lock)) => match lock.start_once(*wait).at_once() {
                            Ok(answer) => answer,
                            Err(acquiring) => {
                                this.stage.set(Stage::Acquiring { call, acquiring, since: None });
                                continue;
                            }
                        },
                        Err(error) => Err(error),
                    };
                    match granted(answer, None) {
                        Ok(guard) => this.stage.set(Stage::entered(call, guard, this.hook)),
                        Err(error) => {
                            this.stage.set(Stage::Ended);
                            return Poll::Ready(Outcome::Refused(error, request(call)));
                        }
                    }
                }
                StageProjection::Acquiring { call, acquiring, since } => {
                    let Poll::Ready(answer) = Pin::new(acquiring).poll(cx) else {
                        // Only who really waits pays for the clock.
                        since.get_or_insert_with(Instant::now);
                        return Poll::Pending;
                    };
                    let call = call.take();
                    match granted(answer, *since) {
                        Ok(guard) => this.stage.set(Stage::entered(call, guard, this.hook)),
                        Err(error) => {
                            this.stage.set(Stage::Ended);
                            return Poll::Ready(Outcome::Refused(error, request(call)));
                        }
                    }
                }
                StageProjection::Readying { call, lost, guard } => {
                    let Some((service, _)) = call else { return Poll::Pending };
                    let cancel = *this.on_lost == OnLost::Cancel;
                    let ready = match service.poll_ready(cx) {
                        Poll::Ready(ready) => Some(ready),
                        Poll::Pending => {
                            // Readiness may take longer than the lease.
                            ready!(poll_lost(lost, guard.as_ref().filter(|_| cancel), cx));
                            None
                        }
                    };
                    let (guard, call) = (guard.take(), call.take());
                    if let Some(Err(error)) = ready {
                        this.stage.set(Stage::Ended);
                        return Poll::Ready(Outcome::Answered(Err(error), guard));
                    }
                    if ready.is_none() || (cancel && is_lost(guard.as_ref())) {
                        this.stage.set(Stage::Ended);
                        return Poll::Ready(Outcome::Refused(LockError::Lost, request(call)));
                    }
                    let Some((mut service, request)) = call else { return Poll::Pending };
                    let response = service.call(request);
                    this.stage.set(Stage::Calling { response, lost: None, guard });
                }
                StageProjection::Calling { response, lost, guard } => {
                    let cancel = *this.on_lost == OnLost::Cancel;
                    // A signal that is set up already goes before the inner service: it must not run on.
                    let lost_before = lost.as_mut().is_some_and(|lost| Pin::new(lost).poll(cx).is_ready());
                    if !lost_before {
                        if let Poll::Ready(answer) = response.poll(cx) {
                            let guard = guard.take();
                            this.stage.set(Stage::Ended);
                            if cancel && answer.is_ok() && is_lost(guard.as_ref()) {
                                return Poll::Ready(Outcome::Refused(LockError::Lost, None));
                            }
                            return Poll::Ready(Outcome::Answered(answer, guard));
                        }
                        // Set up only for an inner service that takes a while, and polled once a turn.
                        let unwatched = guard.as_ref().filter(|_| cancel && lost.is_none());
                        ready!(poll_lost(lost, unwatched, cx));
                    }
                    // The inner future goes first, then the guard.
                    let guard = guard.take();
                    this.stage.set(Stage::Ended);
                    drop(guard);
                    return Poll::Ready(Outcome::Refused(LockError::Lost, None));
                }
                StageProjection::Ended => return Poll::Pending,
            }
        }
    }
}

impl<S, F, R> Stage<S, F, R> {
    /// The lock is held, and the request knows of it.
    #[inline]
    fn entered(mut call: Option<(S, R)>, guard: LockGuard, hook: &impl Enter<R>) -> Self {
        if let Some((_, request)) = &mut call {
            hook.enter(request, &guard);
        }
        Self::Readying { call, lost: None, guard: Some(guard) }
    }
}

/// The guard, or why there is none.
#[inline]
fn granted(answer: Result<Option<LockGuard>, LockError>, since: Option<Instant>) -> Result<LockGuard, LockError> {
    answer?.ok_or_else(|| LockError::Busy { waited: since.map_or(Duration::ZERO, |since| since.elapsed()) })
}

/// Polls the loss signal of `guard`, and sets it up before if need be. Pending for ever without a guard.
fn poll_lost(lost: &mut Option<Lost>, guard: Option<&LockGuard>, cx: &mut Context<'_>) -> Poll<()> {
    let Some(guard) = guard else { return Poll::Pending };
    Pin::new(lost.get_or_insert_with(|| guard.lost())).poll(cx)
}

fn is_lost(guard: Option<&LockGuard>) -> bool {
    guard.is_some_and(|guard| !guard.is_held())
}

fn request<S, R>(call: Option<(S, R)>) -> Option<R> {
    call.map(|(_, request)| request)
}
