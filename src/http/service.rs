//! [`HttpLockService`].

use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::answer::Style;
use super::framing::Framing;
use super::future::InsertHandle;
use super::key::HttpKey;
use super::timeout::grpc_timeout;
use super::{HttpLockFuture, HttpLockLayer, LockBody};
use crate::middleware::Running;

/// An HTTP service whose requests run under a lock. Made by [`HttpLockLayer`], which says what it does.
#[derive(Debug)]
pub struct HttpLockService<S, K> {
    pub(super) inner: S,
    pub(super) layer: HttpLockLayer<K>,
}

impl<S, K> HttpLockService<S, K> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, K> Clone for HttpLockService<S, K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
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

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        let HttpLockLayer { provider, key, settings, on_refusal } = &self.layer;
        let common = &settings.common;
        let lock = key
            .resource(&mut request)
            .and_then(|resource| resource.map(|resource| common.lock(provider, resource)).transpose());
        // Whoever needs no lock is never refused.
        let needs_head = on_refusal.as_ref().filter(|_| !matches!(lock, Ok(None)));
        let style = match needs_head {
            Some(answer) => {
                let (parts, body) = request.into_parts();
                let head = Box::new(parts.clone());
                request = Request::from_parts(parts, body);
                Style::Custom { answer: answer.clone(), request: head }
            }
            None => Style::of(&request),
        };
        let framing = Framing::of_request(&request);
        let wait = wait_for(&request, common.wait);
        let running = Running::new(self.inner.clone(), request, lock, wait, common.on_lost, InsertHandle);
        HttpLockFuture::new(running, style, framing, *settings)
    }
}

/// The layer's own wait or the client's time-out, whichever is shorter.
fn wait_for<B>(request: &Request<B>, wait: Duration) -> Duration {
    match super::answer::grpc_content_type(request.headers()) {
        Some(_) => grpc_timeout(request.headers()).map_or(wait, |timeout| timeout.min(wait)),
        None => wait,
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService, K> tonic::server::NamedService for HttpLockService<S, K> {
    const NAME: &'static str = S::NAME;
}
