//! For handlers that take locks themselves: a [`LockError`] is answered as the layer answers it.

#[cfg(feature = "tonic")]
use std::sync::Arc;

#[cfg(feature = "axum")]
use axum_core::body::Body;
#[cfg(feature = "axum")]
use axum_core::response::{IntoResponse, Response};

use super::Refusal;
use super::refusal::{LoggedError, is_program_mistake};
#[cfg(feature = "tonic")]
use super::refusal_response::grpc_message;
use crate::LockError;
use crate::telemetry::Misconfigured;

impl Refusal {
    /// Logs a mistake in the program, since the answer does not describe it.
    fn report_mistake(&self) {
        if is_program_mistake(self.error()) {
            Misconfigured::found_by("handler").report(&LoggedError(self.error()));
        }
    }
}

/// The answer of [`HttpLockLayer`](crate::HttpLockLayer), as `application/problem+json`. So a handler can return
/// `Result<_, LockError>`:
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use std::time::Duration;
/// use axum::{Router, extract::{Path, State}, routing::post};
/// use orchestrix_locking::{LockError, Locking, Release, Resource};
///
/// async fn withdraw(State(locking): State<Locking>, Path(id): Path<String>) -> Result<String, LockError> {
///     let name = Resource::from_parts(["account", &id])?;
///     let guard = locking.lock(name)?.acquire_within(Duration::from_secs(2)).await?; // 503 while it is held
///     let done = format!("done under token {}", guard.fencing_token());
///     match guard.release().await {
///         Ok(Release::AlreadyLost) => Err(LockError::Lost),
///         // Not `?`: the work is done, and without an answer the release goes on in the background.
///         Ok(Release::Released) | Err(_) => Ok(done),
///     }
/// }
///
/// fn routes(locking: Locking) -> Router {
///     Router::new().route("/accounts/{id}/withdraw", post(withdraw)).with_state(locking)
/// }
/// # let _ = routes; }
/// ```
///
/// A mistake in the program is answered with 500 and logged as an error event of `tracing`: the answer does not describe it.
#[cfg(feature = "axum")]
impl IntoResponse for LockError {
    fn into_response(self) -> Response {
        Refusal::from(self).into_response()
    }
}

/// The answer as [`problem`](Refusal::problem) writes it.
#[cfg(feature = "axum")]
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.report_mistake();
        self.problem().map(Body::from)
    }
}

/// The gRPC status that [`HttpLockLayer`](crate::HttpLockLayer) answers with. The error is its source, which is not sent.
/// So a method of a service can use `?`:
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use std::time::Duration;
/// use orchestrix_locking::Locking;
/// use tonic::{Request, Response, Status};
///
/// async fn withdraw(locking: &Locking, request: Request<String>) -> Result<Response<u64>, Status> {
///     let lock = locking.lock(request.into_inner())?;
///     let guard = lock.acquire_within(Duration::from_secs(2)).await?; // UNAVAILABLE while it is held
///     Ok(Response::new(guard.fencing_token().get()))
/// }
/// # let _ = withdraw; }
/// ```
#[cfg(feature = "tonic")]
impl From<LockError> for tonic::Status {
    fn from(error: LockError) -> Self {
        Refusal::from(error).into()
    }
}

/// The status of the gRPC call, with the [error](Refusal::error) as its source.
#[cfg(feature = "tonic")]
impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> Self {
        refusal.report_mistake();
        let mut status = Self::new(tonic::Code::from(refusal.case().grpc as i32), grpc_message(&refusal));
        status.set_source(Arc::new(refusal.error().clone()));
        status
    }
}
