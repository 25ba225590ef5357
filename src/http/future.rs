//! [`HttpLockFuture`]: what an [`HttpLockService`](super::HttpLockService) answers with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tower_service::Service;

use super::answer::Style;
use super::course::Course;
use super::framing::Framing;
use super::letting_go::LettingGo;
use super::settings::Settings;
use super::{HoldUntil, LockBody, Refusal};
use crate::middleware::{Enter, Outcome};
use crate::mutant::{Mutant, is};
use crate::{LockError, LockGuard};

/// Waits for the lock, runs the inner service under it, and resolves to its answer or to a refusal.
///
/// # Cancel safety
///
/// Dropping it, as servers do when the client is gone, gives up the place in the queue, or drops the inner future and
/// then releases the lock. With [`OnDisconnect::Finish`](crate::OnDisconnect::Finish) an inner future that has begun
/// goes on in a task, and the lock is released after it.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    #[pin]
    course: Course<S, Request<ReqB>, InsertHandle>,
    /// The answer, kept back until the lock is free.
    kept: Option<Kept<ResB, S::Error>>,
    style: Style,
    framing: Framing,
    settings: Settings,
}

/// The fields are in the order in which they have to be dropped: a body under its lock.
struct Kept<B, E> {
    answer: Result<Response<B>, E>,
    letting_go: LettingGo,
}

/// Puts a handle of the lock into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct InsertHandle;

impl<B> Enter<Request<B>> for InsertHandle {
    fn enter(&self, request: &mut Request<B>, guard: &LockGuard) {
        request.extensions_mut().insert(guard.handle());
    }
}

impl<S, ReqB, ResB> HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    pub(super) fn new(
        course: Course<S, Request<ReqB>, InsertHandle>,
        style: Style,
        framing: Framing,
        settings: Settings,
    ) -> Self {
        Self { course, kept: None, style, framing, settings }
    }
}

impl<S, ReqB, ResB> Future for HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Body,
{
    type Output = Result<Response<LockBody<ResB>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let refuse = |error| {
            let refusal = Refusal::new(error, !this.settings.common.wait.is_zero());
            Poll::Ready(Ok(this.style.answer(&refusal).map(LockBody::refusal)))
        };
        loop {
            if let Some(kept) = this.kept {
                let lost = ready!(Pin::new(&mut kept.letting_go).poll(cx)) && this.settings.cancels();
                let Some(Kept { answer, .. }) = this.kept.take() else { return Poll::Pending };
                return match answer {
                    Ok(_) if lost => refuse(LockError::Lost),
                    answer => Poll::Ready(answer.map(|response| response.map(LockBody::free))),
                };
            }
            let (answer, guard) = match ready!(this.course.as_mut().poll(cx)) {
                Outcome::Refused(error, _) => return refuse(error),
                Outcome::Answered(answer, None) => {
                    return Poll::Ready(answer.map(|response| response.map(LockBody::free)));
                }
                Outcome::Answered(answer, Some(guard)) => (answer, guard),
            };
            match answer {
                Ok(response) if this.settings.hold_until == HoldUntil::BodyEnd && !is(Mutant::FreedBeforeBodyEnds) => {
                    this.framing.see(&response);
                    if !this.framing.is_complete() {
                        let body = |inner| LockBody::held(inner, guard, *this.settings, this.framing);
                        return Poll::Ready(Ok(response.map(body)));
                    }
                    *this.kept = Some(Kept {
                        answer: Ok(response),
                        letting_go: LettingGo::new(guard, this.settings.release_timeout),
                    });
                }
                answer => {
                    *this.kept =
                        Some(Kept { answer, letting_go: LettingGo::new(guard, this.settings.release_timeout) });
                }
            }
        }
    }
}

impl<S, ReqB, ResB> fmt::Debug for HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLockFuture").field("settings", &self.settings).finish_non_exhaustive()
    }
}
