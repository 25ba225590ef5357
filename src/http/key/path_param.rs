//! [`PathParam`]: a parameter of the route that axum matched.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::http::{Extensions, Request};
use axum::extract::RawPathParams;
use axum::extract::rejection::RawPathParamsRejection;
use axum_core::extract::FromRequestParts;
use smol_str::SmolStr;

use super::KeyError;

#[derive(Debug, Clone)]
pub(super) struct PathParam {
    pub(super) name: Arc<str>,
}

impl PathParam {
    pub(super) fn value<B>(&self, request: &mut Request<B>) -> Result<SmolStr, KeyError> {
        let unknown = || KeyError::UnknownPathParam { name: self.name.to_string() };
        let params = match raw_path_params(request.extensions_mut()) {
            Some(Ok(params)) => params,
            Some(Err(RawPathParamsRejection::InvalidUtf8InPathParam(_))) => return Err(KeyError::PathParamNotUtf8),
            Some(Err(_)) | None => return Err(unknown()),
        };
        let value = params.iter().find(|(name, _)| *name == &*self.name).map(|(_, value)| value.into());
        value.ok_or_else(unknown)
    }
}

/// axum keeps the parameters in an extension of a private type, which only its extractor can read. The extractor takes a
/// request's parts, so it gets empty parts that borrow the extensions for one call.
fn raw_path_params(extensions: &mut Extensions) -> Option<Result<RawPathParams, RawPathParamsRejection>> {
    let (mut parts, ()) = Request::new(()).into_parts();
    mem::swap(&mut parts.extensions, extensions);
    // The extractor only looks up an extension, so it is ready at the first poll. `None` should that ever change.
    let params = {
        let extracting = pin!(RawPathParams::from_request_parts(&mut parts, &()));
        match extracting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(params) => Some(params),
            Poll::Pending => None,
        }
    };
    mem::swap(&mut parts.extensions, extensions);
    params
}
