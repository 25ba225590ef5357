//! [`HttpLockFuture`]: what an [`HttpLockService`](super::HttpLockService) answers with.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use ::http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use pin_project::pin_project;
use tower_service::Service;

use super::bounded_release::BoundedRelease;
use super::config::{Ending, LayerConfig};
use super::framing::Framing;
use super::held::{insert_handle, keep_outer};
use super::refusal::is_program_mistake;
use super::refusal_response::Style;
use super::request_task::{Outcome, RequestTask};
use super::upgrade::Upgrade;
use super::{HoldUntil, LockBody, Refusal};
use crate::backend::take_lease_left;
use crate::telemetry::Misconfigured;
use crate::tower::{Enter, ResponseState, ResponseStateProjection, ResponseStateTaken};
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
    stage: Stage<S, ReqB, ResB>,
    style: Style,
    framing: Framing,
    /// Of a request that asks for one.
    upgrade: Option<Upgrade>,
    ending: Ending,
    /// Whether the request would have waited for a lock that was taken.
    waits: bool,
    /// Whether the request is refused for a mistake in the program, and that was told.
    told: bool,
}

type Stage<S, ReqB, ResB> = ResponseState<
    RequestTask<S, Request<ReqB>, InsertHandle>,
    Result<Response<ResB>, <S as Service<Request<ReqB>>>::Error>,
    BoundedRelease,
>;

/// Puts a handle of the lock into the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct InsertHandle {
    /// Of a request that asks for one.
    pub(super) upgrade: Option<Upgrade>,
}

impl<B> Enter<Request<B>> for InsertHandle {
    fn enter(&self, request: &mut Request<B>, guard: &LockGuard) {
        match &self.upgrade {
            None => insert_handle(request.extensions_mut(), guard.handle()),
            Some(upgrade) => {
                keep_outer(request.extensions_mut());
                upgrade.insert_handle(guard, request.extensions_mut());
            }
        }
    }
}

impl<S, ReqB, ResB> HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    #[inline]
    pub(super) fn new(
        course: RequestTask<S, Request<ReqB>, InsertHandle>,
        style: Style,
        framing: Framing,
        upgrade: Option<Upgrade>,
        settings: &LayerConfig,
        told: bool,
    ) -> Self {
        let waits = !settings.common.wait.is_zero();
        Self {
            stage: ResponseState::LockedCall(course),
            style,
            framing,
            upgrade,
            ending: settings.ending(),
            waits,
            told,
        }
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
        // The framing, if the handler has run: a task of its may be given the connection whatever the answer is.
        let refuse = |error, begun: Option<&Framing>| {
            // Found only now, by the provider or by the answer.
            if !*this.told && is_program_mistake(&error) {
                Misconfigured::found_by("HttpLockLayer").tell(&error);
            }
            let refusal = Refusal::new(error, *this.waits).with_lease_left(take_lease_left());
            let mut answer = this.style.answer(&refusal);
            let upgrade = this.upgrade.as_ref();
            let may_begin = |framing: &&Framing| upgrade.is_some_and(|upgrade| upgrade.may_begin(framing));
            let Some(framing) = begun.filter(may_begin) else { return Poll::Ready(Ok(answer.map(LockBody::refusal))) };
            // A success would be an upgrade to the client of a CONNECT, and what has no body cannot be cut off.
            if answer.status() < StatusCode::BAD_REQUEST {
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            if !framing.is_http1() {
                return Poll::Ready(Ok(answer.map(LockBody::refusal)));
            }
            answer.headers_mut().remove(CONTENT_LENGTH);
            // A layer outside that compresses would collect the body, and lose it at the error.
            answer.headers_mut().entry(CONTENT_ENCODING).or_insert(HeaderValue::from_static("identity"));
            Poll::Ready(Ok(answer.map(LockBody::cut_off)))
        };
        let free =
            |answer: Result<Response<ResB>, S::Error>| Poll::Ready(answer.map(|response| response.map(LockBody::free)));
        if let ResponseStateProjection::LockedCall(course) = this.stage.as_mut().project() {
            let (answer, mut guard) = match ready!(course.poll(cx)) {
                Outcome::Refused(LockError::Lost) => {
                    return refuse(LockError::Lost, Some(this.framing));
                }
                Outcome::Refused(error) => return refuse(error, None),
                Outcome::Answered(answer, None) => return free(answer),
                Outcome::Answered(answer, Some(guard)) => (answer, guard),
            };
            let answer = match answer {
                Ok(response) if this.ending.hold_until == HoldUntil::BodyEnd => {
                    this.framing.see(&response);
                    if this.framing.is_upgrade() {
                        let left = match &*this.upgrade {
                            Some(upgrade) => upgrade.leave_to_handles(guard),
                            // The handler switched to what the client did not ask for.
                            None => Err(guard),
                        };
                        match left {
                            Ok(()) => return free(Ok(response)),
                            // Refused below, once the lock is free.
                            Err(unused) => guard = unused,
                        }
                    } else if !this.framing.is_complete() {
                        let body = |inner| LockBody::held(inner, guard, *this.ending, this.framing);
                        return Poll::Ready(Ok(response.map(body)));
                    }
                    Ok(response)
                }
                answer => answer,
            };
            match BoundedRelease::at_once(&mut guard) {
                Some(lost) if lost && answer.is_ok() && this.ending.cancels => {
                    return refuse(LockError::Lost, Some(this.framing));
                }
                Some(_) if answer.is_ok() && this.framing.is_upgrade() => {
                    return refuse(Upgrade::refusal(), Some(this.framing));
                }
                Some(_) => return free(answer),
                None => {
                    let letting_go = BoundedRelease::later(&guard, this.ending.release_timeout);
                    this.stage.set(ResponseState::Releasing(answer, letting_go));
                }
            }
        }
        let ResponseStateProjection::Releasing(_, letting_go) = this.stage.as_mut().project() else {
            return Poll::Pending;
        };
        let lost = ready!(Pin::new(letting_go).poll(cx));
        match this.stage.project_replace(ResponseState::Ended) {
            ResponseStateTaken::Releasing(Ok(_), _) if lost && this.ending.cancels => {
                refuse(LockError::Lost, Some(this.framing))
            }
            ResponseStateTaken::Releasing(Ok(_), _) if this.framing.is_upgrade() => {
                refuse(Upgrade::refusal(), Some(this.framing))
            }
            ResponseStateTaken::Releasing(answer, _) => free(answer),
            _ => Poll::Pending,
        }
    }
}

impl<S, ReqB, ResB> fmt::Debug for HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLockFuture").field("ending", &self.ending).finish_non_exhaustive()
    }
}
