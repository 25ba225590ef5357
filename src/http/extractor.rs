//! [`LockHandle`] as an axum extractor.

use std::convert::Infallible;

use ::http::request::Parts;
use ::http::{Method, StatusCode};
use axum::extract::OriginalUri;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};

use crate::LockHandle;
use crate::telemetry::Misconfigured;

/// The lock under which the handler runs. Take an `Option<LockHandle>` if some requests need no lock.
impl<S: Sync> FromRequestParts<S> for LockHandle {
    type Rejection = MissingLock;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingLock> {
        parts.extensions.get().cloned().ok_or_else(|| {
            let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0).path().into();
            MissingLock(Box::new((parts.method.clone(), path)))
        })
    }
}

/// `None` where no lock was needed.
impl<S: Sync> OptionalFromRequestParts<S> for LockHandle {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// The rejection of the [`LockHandle`] extractor: the request did not come through a lock layer, or needed no lock. It is
/// answered with 500, since the mistake is in the program, and logged as an error event of `tracing`.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the handler takes a `LockHandle`, but the request holds no lock: put an `HttpLockLayer` on its route, or take an \
     `Option<LockHandle>` if its key may be `None`"
)]
pub struct MissingLock(Box<(Method, Box<str>)>);

impl IntoResponse for MissingLock {
    fn into_response(self) -> Response {
        let (method, path) = &*self.0;
        Misconfigured::found_by("LockHandle").request(method, path).report(&self);
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
