//! [`Refusal`]: why a request is refused, and with which status.

use std::fmt;
use std::time::Duration;

use ::http::request::Parts;
use ::http::{Response, StatusCode};
use bytes::Bytes;

use super::key::KeyError;
use super::refusal_response::{Style, grpc_content_type};
use crate::{LockError, ResourceError};

/// Why a request is refused, and the default answer to it. [`on_refusal`](crate::HttpLockLayer::on_refusal) gets one, and
/// `From` makes one of any [`LockError`].
///
/// See [`HttpLockLayer`](crate::HttpLockLayer) for the table of cases.
#[derive(Debug, Clone)]
pub struct Refusal {
    error: LockError,
    case: &'static Case,
    status: StatusCode,
    retry_after: Option<Duration>,
    /// Whether the layer made it. Then the answer may say that the handler was not called; of a handler's own refusal
    /// that is not known.
    by_layer: bool,
}

/// One row of the table of refusals.
pub(super) struct Case {
    /// The last part of the problem's type.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) status: StatusCode,
    pub(super) grpc: Code,
    /// Whether the same request may succeed a little later.
    retry: bool,
}

/// The numbers of gRPC's status codes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Code {
    InvalidArgument = 3,
    ResourceExhausted = 8,
    Aborted = 10,
    Internal = 13,
    Unavailable = 14,
}

/// A lock is held for about as long as a request takes, and a connection is back within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest `Retry-After`. An operator may free the lock before a longer lease ends, and a client that comes back too
/// early only waits once more.
const LATEST_RETRY: Duration = Duration::from_secs(30);

macro_rules! cases {
    ($($id:ident = $name:literal, $title:literal, $status:ident, $grpc:ident, $retry:literal;)+) => {
        $(static $id: Case = Case {
            name: $name, title: $title, status: StatusCode::$status, grpc: Code::$grpc, retry: $retry,
        };)+
    };
}

cases! {
    HELD = "held", "Another caller holds the lock", CONFLICT, Aborted, false;
    BUSY = "busy", "Another caller held the lock for the whole wait", SERVICE_UNAVAILABLE, Unavailable, true;
    PERMITS = "permits", "As many requests run already as may", TOO_MANY_REQUESTS, ResourceExhausted, true;
    INVALID_KEY = "invalid-key", "The request does not name the resource to lock", BAD_REQUEST, InvalidArgument, false;
    TOO_MANY_WAITERS = "too-many-waiters", "Too many requests wait for the lock", TOO_MANY_REQUESTS, ResourceExhausted, true;
    TOO_MANY_IN_TOTAL = "too-many-waiters", "Too many requests wait for locks", TOO_MANY_REQUESTS, ResourceExhausted, true;
    UNAVAILABLE = "unavailable", "The lock service is unavailable", SERVICE_UNAVAILABLE, Unavailable, true;
    LOST = "lost", "The lock was lost while the request ran", INTERNAL_SERVER_ERROR, Internal, false;
    CLOSED = "closed", "The server is shutting down", SERVICE_UNAVAILABLE, Unavailable, true;
    ALREADY_HELD = "already-held", "The lock is already held by this request", INTERNAL_SERVER_ERROR, Internal, false;
    MISTAKE = "misconfigured", "The server is set up wrongly", INTERNAL_SERVER_ERROR, Internal, false;
}

impl Refusal {
    /// `may_wait` is false if the layer does not wait. A held lock is then an expected answer (409) and no overload (503).
    pub(super) fn new(error: LockError, may_wait: bool) -> Self {
        let case = match &error {
            LockError::Busy { .. } if may_wait => &BUSY,
            LockError::Busy { .. } => &HELD,
            LockError::TooManyWaiters => &TOO_MANY_WAITERS,
            LockError::TooManyWaitersInTotal => &TOO_MANY_IN_TOTAL,
            LockError::InvalidResource { .. } if is_program_mistake(&error) => &MISTAKE,
            LockError::InvalidResource { .. } => &INVALID_KEY,
            LockError::Unavailable { .. } | LockError::Backend { .. } => &UNAVAILABLE,
            LockError::Lost => &LOST,
            LockError::Closed => &CLOSED,
            LockError::AlreadyHeld => &ALREADY_HELD,
            LockError::InvalidOptions { .. } | LockError::NoRuntime | LockError::Unsupported { .. } => &MISTAKE,
        };
        Self { error, case, status: case.status, retry_after: case.retry.then_some(RETRY_AFTER), by_layer: true }
    }

    /// For a lock with permits, all of which are taken: a limit that was reached, whether or not the caller has waited. For
    /// handlers that take permits themselves: an error does not say the mode of its lock.
    #[must_use]
    pub fn for_permits(self) -> Self {
        let case = &PERMITS;
        Self { case, status: case.status, retry_after: case.retry.then_some(RETRY_AFTER), ..self }
    }

    /// For a lock whose holder is most likely gone: `Retry-After` is what is left of its lease.
    pub(super) fn with_lease_left(self, left: Option<Duration>) -> Self {
        match left {
            Some(left) if std::ptr::eq(self.case, &raw const BUSY) => {
                // Rounded up: a client that comes back early would be refused again.
                let seconds = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
                Self { retry_after: Some(seconds.clamp(RETRY_AFTER, LATEST_RETRY)), ..self }
            }
            _ => self,
        }
    }

    /// What went wrong.
    pub fn error(&self) -> &LockError {
        &self.error
    }

    /// The HTTP status that the answer has by default. A gRPC answer has 200 and a status of its own.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same refusal with another HTTP status. The gRPC status does not change.
    #[must_use]
    pub fn with_status(&self, status: StatusCode) -> Self {
        Self { status, ..self.clone() }
    }

    /// The layer's own answer to `request`: `application/problem+json`, or the status of a gRPC call.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use http::{StatusCode, request::Parts};
    /// use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockError, Refusal, key};
    ///
    /// // 423 Locked while another request holds the lock; the usual answer otherwise.
    /// let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::path()).on_refusal(
    ///     |refusal: &Refusal, request: &Parts| match refusal.error() {
    ///         LockError::Busy { .. } => refusal.with_status(StatusCode::LOCKED).answer(request),
    ///         _ => refusal.answer(request),
    ///     },
    /// );
    /// # let _ = layer; }
    /// ```
    pub fn answer(&self, request: &Parts) -> Response<Bytes> {
        Style::of(grpc_content_type(&request.headers)).answer(self)
    }

    /// The answer as `application/problem+json`. If the request is at hand and may be a gRPC call, use
    /// [`answer`](Self::answer).
    ///
    /// # Examples
    ///
    /// A service without a router, which takes its locks itself:
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use std::convert::Infallible;
    /// use std::time::Duration;
    /// use bytes::Bytes;
    /// use http::{Request, Response};
    /// use orchestrix_locking::{LockError, Locking, Refusal};
    ///
    /// async fn work(locking: &Locking) -> Result<String, LockError> {
    ///     let guard = locking.lock("report")?.acquire_within(Duration::from_secs(2)).await?;
    ///     Ok(format!("done under token {}", guard.fencing_token()))
    /// }
    ///
    /// async fn serve<B>(locking: &Locking, _request: Request<B>) -> Result<Response<Bytes>, Infallible> {
    ///     Ok(match work(locking).await {
    ///         Ok(done) => Response::new(done.into()),
    ///         Err(error) => Refusal::from(error).problem(),
    ///     })
    /// }
    /// # let _ = serve::<()>; }
    /// ```
    pub fn problem(&self) -> Response<Bytes> {
        Style::Problem.answer(self)
    }

    /// After which time the client may try again: whole seconds, 1 to 30. `None` if trying again does not help.
    ///
    /// It is one second, with one exception: the lock was held for the whole wait, and the backend says that the holder's
    /// renewal is overdue. Such a holder is most likely gone, so the value is the time until its lease ends.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(super) fn case(&self) -> &'static Case {
        self.case
    }

    /// The text for the client. Only fixed texts and texts about the request itself: a backend's error may name hosts, and a
    /// closure's error may contain anything.
    pub(super) fn detail(&self) -> String {
        match &self.error {
            LockError::InvalidResource { source } => match key_error(&self.error) {
                Some(error) => error.to_string(),
                None => match source.as_error().downcast_ref::<ResourceError>() {
                    Some(error) => format!("the key is not valid: {error}"),
                    None => "no valid key can be made from the request".to_owned(),
                },
            },
            LockError::InvalidOptions { .. }
            | LockError::NoRuntime
            | LockError::AlreadyHeld
            | LockError::Unsupported { .. } => self.error.to_string(),
            _ if self.case.retry && self.by_layer => "the request was not begun; try again later".to_owned(),
            _ if self.case.retry => "try again later".to_owned(),
            LockError::Lost => "the request was stopped, and may have been done in part".to_owned(),
            _ if self.by_layer => "the request was not begun".to_owned(),
            _ => "the request was refused".to_owned(),
        }
    }
}

/// For handlers that take locks themselves: the refusal with which the layer answers this error. [`LockError::Busy`] is
/// "held" if the caller did not wait, and "busy" after a wait. The answer does not say that the request was not begun, since
/// the handler may have done a part of it.
///
/// With the `axum` feature a [`LockError`] can be returned from a handler as it is, and with `tonic` it converts into a
/// `tonic::Status`.
impl From<LockError> for Refusal {
    fn from(error: LockError) -> Self {
        let may_wait = !matches!(&error, LockError::Busy { waited } if waited.is_zero());
        Self { by_layer: false, ..Self::new(error, may_wait) }
    }
}

/// Whether the error is a mistake in the program: the client cannot avoid it.
pub(super) fn is_program_mistake(error: &LockError) -> bool {
    match error {
        LockError::InvalidResource { .. } => key_error(error).is_some_and(KeyError::is_program_mistake),
        LockError::InvalidOptions { .. }
        | LockError::NoRuntime
        | LockError::AlreadyHeld
        | LockError::Unsupported { .. } => true,
        _ => false,
    }
}

/// The error as it is logged for the operator, with more than the client is told.
pub(super) struct LoggedError<'a>(pub(super) &'a LockError);

impl fmt::Display for LoggedError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        match key_error(error) {
            Some(KeyError::MissingExtension { type_name }) => write!(f, "{error} (of type {type_name})"),
            _ => write!(f, "{error}"),
        }
    }
}

fn key_error(error: &LockError) -> Option<&KeyError> {
    match error {
        LockError::InvalidResource { source } => source.as_error().downcast_ref(),
        _ => None,
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
