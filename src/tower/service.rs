//! [`LockService`].

use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use super::locked_call::LockedCall;
use super::{IntoResource, LockLayer, NamesLock, ResponseFuture};
use crate::BoxError;

/// A service whose requests run under a lock. Made by [`LockLayer`]; see the [`middleware`](crate::middleware) module.
#[derive(Debug)]
pub struct LockService<S, F> {
    pub(super) inner: S,
    /// Shared by all clones: routers and servers clone a service for each request.
    pub(super) layer: Arc<LockLayer<F>>,
}

impl<S, F> LockService<S, F> {
    /// The service inside.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: Clone, F> Clone for LockService<S, F> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: Arc::clone(&self.layer) }
    }
}

impl<S, R, F> Service<R> for LockService<S, F>
where
    S: Service<R> + Clone,
    S::Error: Into<BoxError>,
    F: NamesLock<R, Name: IntoResource>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, R>;

    /// Always ready: the inner service is polled for readiness once the lock is held.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let LockLayer { provider, extract, settings } = &*self.layer;
        let acquire = settings.acquire(&**provider, extract.name(&request).into_locks(), settings.wait);
        // Readiness is not cloned: the clone is polled for readiness once the lock is held.
        let call = LockedCall::new(self.inner.clone(), request, acquire, settings.on_lost, ());
        ResponseFuture::new(call, settings.on_lost)
    }
}
