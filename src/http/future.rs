//! [`HttpLockFuture`]: the response future of an [`HttpLockService`](super::HttpLockService).

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
use super::detach::{DetachOnDrop, Outcome};
use super::framing::Framing;
use super::held::{insert_handles, keep_outer};
use super::refusal::is_program_mistake;
use super::refusal_response::Style;
use super::upgrade::Upgrade;
use super::{HoldUntil, LockBody, Refusal};
use crate::LockError;
use crate::backend::take_lease_left;
use crate::lock::Held;
use crate::telemetry::Misconfigured;
use crate::tower::{BeforeCall, LockedCall, Refused};

/// Waits for the lock, runs the inner service under it, and resolves to its answer or to a refusal.
///
/// # Cancel safety
///
/// Servers drop it when the client is gone. That removes the request from the wait queue, or drops the inner future and
/// then releases the lock. With [`OnDisconnect::Finish`](crate::OnDisconnect::Finish) an inner future that has begun goes
/// on in a task, and the lock is released after it.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    #[pin]
    state: ResponseState<S, ReqB, ResB>,
    context: RequestContext,
}

/// The state of one request after its key was read.
#[expect(clippy::large_enum_variant, reason = "a box would cost every request an allocation")]
#[pin_project(project = StateProjection, project_replace = OwnedState)]
pub(super) enum ResponseState<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    /// The call ends with the response future.
    Attached(#[pin] LockedCall<S, Request<ReqB>, InsertHandle>),
    /// The call may outlive the response future.
    Detachable(DetachOnDrop<Outcome<S::Response, S::Error>>),
    /// The answer is kept back until the lock is free. It comes first, so that a drop drops it under its lock.
    Releasing(Result<Response<ResB>, S::Error>, BoundedRelease),
    Ended,
}

/// What an answer or a refusal depends on besides the state.
pub(super) struct RequestContext {
    pub(super) style: Style,
    pub(super) framing: Framing,
    /// Set for a request that asks for an upgrade.
    pub(super) upgrade: Option<Upgrade>,
    pub(super) ending: Ending,
    /// Whether the layer waits for a lock that is held.
    pub(super) may_wait: bool,
    /// Whether the request is refused for a mistake in the program that has been logged already.
    pub(super) mistake_logged: bool,
}

/// Puts the handles of the locks into the request's extensions.
#[derive(Debug, Clone)]
pub(super) struct InsertHandle {
    /// Set for a request that asks for an upgrade.
    pub(super) upgrade: Option<Upgrade>,
}

impl<B> BeforeCall<Request<B>> for InsertHandle {
    fn before_call(&self, request: &mut Request<B>, held: &Held) {
        let extensions = request.extensions_mut();
        keep_outer(extensions);
        match &self.upgrade {
            None => insert_handles(extensions, held, |handle| handle),
            Some(upgrade) => upgrade.insert_handles(held, extensions),
        }
    }
}

impl RequestContext {
    #[inline]
    pub(super) fn new(
        style: Style,
        framing: Framing,
        upgrade: Option<Upgrade>,
        settings: &LayerConfig,
        mistake_logged: bool,
    ) -> Self {
        let may_wait = !settings.common.wait.is_zero();
        Self { style, framing, upgrade, ending: settings.ending(), may_wait, mistake_logged }
    }

    /// The answer to a request that is refused before its handler was called.
    fn refuse<B: Body>(&self, refused: Refused) -> Response<LockBody<B>> {
        self.refusal(refused).map(LockBody::refusal)
    }

    /// The answer to a request that is refused after its handler was called. A task of the handler may be given the
    /// connection although the upgrade is refused, unless the answer ends the connection with an error.
    fn refuse_after_call<B: Body>(&self, error: LockError) -> Response<LockBody<B>> {
        let mut answer = self.refusal(error.into());
        if !self.upgrade.as_ref().is_some_and(|upgrade| upgrade.may_begin(&self.framing)) {
            return answer.map(LockBody::refusal);
        }
        // A client that sent CONNECT takes a success for the upgrade, and an answer without a body cannot be cut off.
        if answer.status() < StatusCode::BAD_REQUEST {
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        if !self.framing.is_http1() {
            return answer.map(LockBody::refusal);
        }
        answer.headers_mut().remove(CONTENT_LENGTH);
        // A compression layer outside would collect the body, and drop it at the error.
        answer.headers_mut().entry(CONTENT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        answer.map(LockBody::cut_off)
    }

    fn refusal(&self, refused: Refused) -> Response<bytes::Bytes> {
        if !self.mistake_logged && is_program_mistake(&refused.error) {
            Misconfigured::found_by("HttpLockLayer").report(&refused.error);
        }
        let for_permits = refused.for_permits();
        let mut refusal = Refusal::new(refused.error, self.may_wait);
        if for_permits {
            refusal = refusal.for_permits();
        }
        let refusal = refusal.with_lease_left(take_lease_left());
        self.style.answer(&refusal)
    }

    /// The answer of the handler once its lock is free.
    fn answer_released<B: Body, E>(
        &self,
        answer: Result<Response<B>, E>,
        lost: bool,
    ) -> Result<Response<LockBody<B>>, E> {
        match answer {
            Ok(_) if lost && self.ending.cancels => Ok(self.refuse_after_call(LockError::Lost)),
            // The handler kept no handle, so the connection would be in use without a lock.
            Ok(_) if self.framing.is_upgrade() => Ok(self.refuse_after_call(Upgrade::refusal())),
            answer => without_lock(answer),
        }
    }
}

fn without_lock<B: Body, E>(answer: Result<Response<B>, E>) -> Result<Response<LockBody<B>>, E> {
    answer.map(|response| response.map(LockBody::unlocked))
}

impl<S, ReqB, ResB> HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    #[inline]
    pub(super) fn new(state: ResponseState<S, ReqB, ResB>, context: RequestContext) -> Self {
        Self { state, context }
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
        let context = this.context;
        let outcome = match this.state.as_mut().project() {
            StateProjection::Attached(call) => Some(ready!(call.poll(cx))),
            StateProjection::Detachable(call) => Some(ready!(Pin::new(call).poll(cx))),
            StateProjection::Releasing(..) => None,
            StateProjection::Ended => return Poll::Pending,
        };
        if let Some(outcome) = outcome {
            let (answer, mut held) = match outcome {
                Outcome::Refused(Refused { error: LockError::Lost, .. }) => {
                    return Poll::Ready(Ok(context.refuse_after_call(LockError::Lost)));
                }
                Outcome::Refused(refused) => return Poll::Ready(Ok(context.refuse(refused))),
                Outcome::Answered(answer, None) => return Poll::Ready(without_lock(answer)),
                Outcome::Answered(answer, Some(held)) => (answer, held),
            };
            let answer = match answer {
                Ok(response) if context.ending.hold_until == HoldUntil::BodyEnd => {
                    context.framing.see(&response);
                    if context.framing.is_upgrade() {
                        let left = match &context.upgrade {
                            Some(upgrade) => upgrade.leave_to_handles(held),
                            // The handler switched to a protocol that the client did not ask for.
                            None => Err(held),
                        };
                        match left {
                            Ok(()) => return Poll::Ready(without_lock(Ok(response))),
                            // `answer_released` refuses the upgrade, once the lock is free.
                            Err(unused) => held = unused,
                        }
                    } else if !context.framing.is_complete() {
                        let body = |inner| LockBody::held(inner, held, context.ending, &context.framing);
                        return Poll::Ready(Ok(response.map(body)));
                    }
                    Ok(response)
                }
                answer => answer,
            };
            match BoundedRelease::begin(&mut held, context.ending.release_timeout) {
                Ok(lost) => return Poll::Ready(context.answer_released(answer, lost)),
                Err(release) => this.state.set(ResponseState::Releasing(answer, release)),
            }
        }
        let StateProjection::Releasing(_, release) = this.state.as_mut().project() else {
            return Poll::Pending;
        };
        let lost = ready!(Pin::new(release).poll(cx));
        match this.state.project_replace(ResponseState::Ended) {
            OwnedState::Releasing(answer, _) => Poll::Ready(context.answer_released(answer, lost)),
            _ => Poll::Pending,
        }
    }
}

impl<S, ReqB, ResB> fmt::Debug for HttpLockFuture<S, ReqB, ResB>
where
    S: Service<Request<ReqB>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpLockFuture").field("ending", &self.context.ending).finish_non_exhaustive()
    }
}
