//! [`HttpLockService`].

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderValue, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::framing::Framing;
use super::future::InsertHandle;
use super::grpc_timeout::grpc_timeout;
use super::held::held_by;
use super::key::{HttpKey, path_of};
use super::refusal::{Cause, is_program_mistake};
use super::refusal_response::{Style, grpc_content_type};
use super::request_task::{DetachOnDrop, RequestTask};
use super::upgrade::Upgrade;
use super::{Attached, Detachable, HoldUntil, HttpLockFuture, HttpLockLayer, LockBody, OnDisconnect};
use crate::LockError;
use crate::telemetry::Misconfigured;
use crate::tower::{AcquireState, LockedCall};

/// An HTTP service whose requests run under a lock. Made by [`HttpLockLayer`], which says what it does.
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
    fn start<ReqB, ResB>(
        &self,
        mut request: Request<ReqB>,
        course: impl FnOnce(LockedCall<S, Request<ReqB>, InsertHandle>) -> RequestTask<S, Request<ReqB>, InsertHandle>,
    ) -> HttpLockFuture<S, ReqB, ResB>
    where
        S: Service<Request<ReqB>> + Clone,
        K: HttpKey<ReqB>,
    {
        let HttpLockLayer { provider, key, settings, on_refusal, .. } = &*self.layer;
        let common = &settings.common;
        let upgrade = Upgrade::of_request(&request);
        let mut resource = key.resource(&mut request);
        if let (Some(upgrade), Ok(Some(_)), HoldUntil::BodyEnd) = (&upgrade, &resource, settings.hold_until)
            && let Some(refusal) = upgrade.refusal_of_head(&request)
        {
            resource = Err(refusal);
        }
        let grpc = grpc_content_type(request.headers());
        let mut taking = common.taking(provider, resource, wait_for(&request, grpc, common.wait));
        let told = refuse_mistakes(&mut taking, &request);
        // Whoever needs no lock is never refused.
        let needs_head = on_refusal.as_ref().filter(|_| taking.may_be_refused());
        let style = match needs_head {
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
        let running = LockedCall::new(self.inner.clone(), request, taking, common.on_lost, hook);
        HttpLockFuture::new(course(running), style, framing, upgrade, settings, told)
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

    /// Always ready: the inner service is asked once the lock is held.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        self.start(request, RequestTask::Attached)
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

    /// Always ready: the inner service is asked once the lock is held.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        match self.layer.settings.on_disconnect {
            OnDisconnect::Cancel => self.start(request, RequestTask::Attached),
            OnDisconnect::Finish => self.start(request, |running| RequestTask::Detachable(DetachOnDrop::new(running))),
        }
    }
}

/// Refuses a request that holds the lock already which it asks for, for a layer outside: it would wait for itself. Whether
/// the request is refused for that, or for another mistake in the program that shows before it waits; it is told then.
fn refuse_mistakes<B>(taking: &mut AcquireState, request: &Request<B>) -> bool {
    let held = held_by(request.extensions()).find(|handle| taking.is_held_by(handle));
    if held.is_some() {
        *taking = AcquireState::refused(LockError::AlreadyHeld);
    }
    let Some(error) = taking.refusal().filter(|error| is_program_mistake(error)) else { return false };
    let path = path_of(request);
    let mistake = Misconfigured::found_by("HttpLockLayer").request(request.method(), &path);
    held.map_or(mistake, |handle| mistake.resource(handle.resource())).tell(&Cause(error));
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
