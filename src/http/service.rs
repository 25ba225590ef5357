//! [`HttpLockService`].

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::detach::DetachOnDrop;
use super::framing::Framing;
use super::future::{InsertHandle, RequestContext, ResponseState};
use super::grpc_timeout::grpc_timeout;
use super::held::held_by;
use super::key::{HttpKey, path_of};
use super::refusal::{LoggedError, is_program_mistake};
use super::refusal_response::{Style, grpc_content_type};
use super::upgrade::Upgrade;
use super::{Attached, Detachable, HoldUntil, HttpLockFuture, HttpLockLayer, LockBody, OnDisconnect};
use crate::LockError;
use crate::telemetry::Misconfigured;
use crate::tower::{AcquireState, LockedCall};

/// An HTTP service whose requests run under a lock. See [`HttpLockLayer`], which makes it.
#[derive(Debug)]
pub struct HttpLockService<S, K, D = Attached> {
    pub(super) inner: S,
    /// Shared by all clones: a router clones the service for each request.
    pub(super) layer: Arc<HttpLockLayer<K, D>>,
}

impl<S, K, D> HttpLockService<S, K, D> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, K, D> Clone for HttpLockService<S, K, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: Arc::clone(&self.layer) }
    }
}

impl<S, K, D> HttpLockService<S, K, D> {
    /// Reads the key, and makes the future that runs the request. `state` says whether it may outlive its client.
    fn start<ReqB, ResB>(
        &self,
        mut request: Request<ReqB>,
        state: impl FnOnce(LockedCall<S, Request<ReqB>, InsertHandle>) -> ResponseState<S, ReqB, ResB>,
    ) -> HttpLockFuture<S, ReqB, ResB>
    where
        S: Service<Request<ReqB>> + Clone,
        K: HttpKey<ReqB>,
    {
        let HttpLockLayer { provider, key, settings, on_refusal, .. } = &*self.layer;
        let common = settings.common_for(request.method());
        let upgrade = Upgrade::of_request(&request);
        let mut locks = key.locks(&mut request);
        if let (Some(upgrade), Ok(needed), HoldUntil::BodyEnd) = (&upgrade, &locks, settings.hold_until)
            && !needed.is_empty()
            && let Some(refusal) = upgrade.refusal_of_head(&request)
        {
            locks = Err(refusal);
        }
        let grpc = grpc_content_type(request.headers());
        let mut acquire = common.acquire(&**provider, locks, wait_for(&request, grpc, common.wait));
        let mistake_logged = refuse_mistakes(&mut acquire, &request);
        // The head is cloned only for a request that may be refused.
        let style = match on_refusal.as_ref().filter(|_| acquire.may_be_refused()) {
            Some(answer) => {
                let (parts, body) = request.into_parts();
                let head = Box::new(parts.clone());
                request = Request::from_parts(parts, body);
                Style::Custom { answer: answer.clone(), request: head }
            }
            None => Style::of(grpc),
        };
        let framing = Framing::of_request(&request);
        let hook = InsertHandle { upgrade: upgrade.clone() };
        let call = LockedCall::new(self.inner.clone(), request, acquire, common.on_lost, hook);
        HttpLockFuture::new(state(call), RequestContext::new(style, framing, upgrade, settings, mistake_logged))
    }
}

impl<S, K, ReqB, ResB> Service<Request<ReqB>> for HttpLockService<S, K>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Clone,
    K: HttpKey<ReqB>,
    ResB: Body,
{
    type Response = Response<LockBody<ResB>>;
    type Error = S::Error;
    type Future = HttpLockFuture<S, ReqB, ResB>;

    /// Always ready: the inner service is polled for readiness once the lock is held.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        self.start(request, ResponseState::Attached)
    }
}

impl<S, K, ReqB, ResB> Service<Request<ReqB>> for HttpLockService<S, K, Detachable>
where
    S: Service<Request<ReqB>, Response = Response<ResB>, Error: Send + 'static, Future: Send + 'static>,
    S: Clone + Send + 'static,
    K: HttpKey<ReqB>,
    ReqB: Send + 'static,
    ResB: Body + Send + 'static,
{
    type Response = Response<LockBody<ResB>>;
    type Error = S::Error;
    type Future = HttpLockFuture<S, ReqB, ResB>;

    /// Always ready: the inner service is polled for readiness once the lock is held.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        match self.layer.settings.on_disconnect {
            OnDisconnect::Cancel => self.start(request, ResponseState::Attached),
            OnDisconnect::Finish => self.start(request, |call| ResponseState::Detachable(DetachOnDrop::new(call))),
        }
    }
}

/// Refuses a request whose lock a layer outside holds for it already: it would wait for itself. Returns whether the request
/// is refused for a mistake in the program, that one or another that is known before the wait. The mistake is logged then.
fn refuse_mistakes<B>(acquire: &mut AcquireState, request: &Request<B>) -> bool {
    let held = held_by(request.extensions()).find(|handle| acquire.is_held_by(handle));
    if held.is_some() {
        *acquire = AcquireState::refused(LockError::AlreadyHeld);
    }
    let Some(error) = acquire.refusal().filter(|error| is_program_mistake(error)) else { return false };
    let path = path_of(request);
    let mistake = Misconfigured::found_by("HttpLockLayer").request(request.method(), &path);
    held.map_or(mistake, |handle| mistake.resource(handle.resource())).report(&LoggedError(error));
    true
}

/// The layer's own wait or the time-out of a gRPC client, whichever is shorter.
fn wait_for<B>(request: &Request<B>, grpc: Option<&HeaderValue>, wait: Duration) -> Duration {
    match grpc {
        Some(_) => grpc_timeout(request.headers()).map_or(wait, |timeout| timeout.min(wait)),
        None => wait,
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService, K, D> tonic::server::NamedService for HttpLockService<S, K, D> {
    const NAME: &'static str = S::NAME;
}
