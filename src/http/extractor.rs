//! [`LockHandle`] and [`LockSetHandle`] as axum extractors.

use std::convert::Infallible;

use ::http::request::Parts;
use ::http::{Method, StatusCode};
use axum::extract::OriginalUri;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};

use crate::telemetry::Misconfigured;
use crate::{LockHandle, LockSetHandle};

/// The lock under which the handler runs; of several locks the first, in the byte order of their names. Take an
/// `Option<LockHandle>` if some requests need no lock.
impl<S: Sync> FromRequestParts<S> for LockHandle {
    type Rejection = MissingLock;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingLock> {
        parts.extensions.get().cloned().ok_or_else(|| MissingLock::of("LockHandle", parts))
    }
}

/// `None` where no lock was needed.
impl<S: Sync> OptionalFromRequestParts<S> for LockHandle {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

/// All locks under which the handler runs; of a single lock a set of one. Take an `Option<LockSetHandle>` if some requests
/// need no lock.
impl<S: Sync> FromRequestParts<S> for LockSetHandle {
    type Rejection = MissingLock;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, MissingLock> {
        Self::of_request(&parts.extensions).ok_or_else(|| MissingLock::of("LockSetHandle", parts))
    }
}

/// `None` where no lock was needed.
impl<S: Sync> OptionalFromRequestParts<S> for LockSetHandle {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Option<Self>, Infallible> {
        Ok(Self::of_request(&parts.extensions))
    }
}

/// The rejection of the extractors [`LockHandle`] and [`LockSetHandle`]: the request did not come through a lock layer, or
/// needed no lock. It is answered with 500, since the mistake is in the program, and logged as an error event of `tracing`.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "the handler takes a `{}`, but the request holds no lock: put an `HttpLockLayer` on its route, or take an `Option<{}>` if \
     its key may be `None`",
    .0.extractor, .0.extractor
)]
pub struct MissingLock(Box<Missing>);

#[derive(Debug, Clone)]
struct Missing {
    extractor: &'static str,
    method: Method,
    path: Box<str>,
}

impl MissingLock {
    fn of(extractor: &'static str, parts: &Parts) -> Self {
        let path = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |uri| &uri.0).path().into();
        Self(Box::new(Missing { extractor, method: parts.method.clone(), path }))
    }
}

impl IntoResponse for MissingLock {
    fn into_response(self) -> Response {
        let Missing { extractor, method, path } = &*self.0;
        Misconfigured::found_by(extractor).request(method, path).report(&self);
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}
