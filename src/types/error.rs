//! [`LockError`]: everything that can go wrong with a lock, told apart.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A boxed error, the same type as `tower::BoxError`.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why a lock was not granted, not extended, not released, or not kept.
///
/// "Another caller holds it" is [`Busy`](Self::Busy), and for
/// [`try_acquire`](crate::DistributedLock::try_acquire) it is no error at all but `Ok(None)`. "The backend
/// is down" is [`Unavailable`](Self::Unavailable). "You asked for nonsense" is
/// [`InvalidResource`](Self::InvalidResource) or [`InvalidOptions`](Self::InvalidOptions).
///
/// The text of an error includes that of its cause; [`source`](Error::source) returns the cause itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LockError {
    /// Another caller held the lock for as long as the caller was ready to wait.
    Busy {
        /// How long it waited; zero exactly if it was told not to wait.
        waited: Duration,
    },
    /// As many callers as are allowed wait for this lock in this process already. See
    /// [`LockOptions::max_waiters`](crate::LockOptions::max_waiters).
    TooManyWaiters,
    /// As many callers as are allowed wait in this process already, whatever for. See
    /// [`InMemoryLockProvider::max_waiters_in_total`](crate::InMemoryLockProvider::max_waiters_in_total) and
    /// [`RedisLockOptions::max_waiters_in_total`](crate::RedisLockOptions::max_waiters_in_total).
    TooManyWaitersInTotal,
    /// The name is not a [`Resource`](crate::Resource), or the closure that was to tell the name failed.
    InvalidResource {
        /// What is wrong with the name, or what the closure returned.
        source: Cause,
    },
    /// An option is out of its range.
    InvalidOptions {
        /// The option's name.
        option: &'static str,
        /// The value it was given, and those it may have.
        value: Box<RefusedValue>,
    },
    /// The backend cannot be reached, or it did not answer in time: not within its time-out, or not before the lease was
    /// over that was asked for. Nothing is known of the lock.
    Unavailable {
        /// What failed.
        source: Cause,
    },
    /// The backend answered with an error.
    Backend {
        /// What it answered.
        source: Cause,
    },
    /// The lock was lost while it was needed: its lease ended, or it was taken away on the backend.
    Lost,
    /// The provider has been closed.
    Closed,
    /// The request holds this very lock already, for a layer outside. Waiting would be waiting for itself, so
    /// `HttpLockLayer` refuses at once. A mistake in the program: the lock is taken by two layers.
    AlreadyHeld,
    /// The call was not made inside a tokio runtime.
    NoRuntime,
}

/// The value of an option that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedValue {
    /// What was given.
    pub given: String,
    /// What is allowed.
    pub allowed: String,
}

impl fmt::Display for RefusedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; allowed: {}", self.given, self.allowed)
    }
}

impl LockError {
    /// An option that is out of its range: its name, the value it was given, and those it may have.
    pub fn invalid_options(option: &'static str, given: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::InvalidOptions { option, value: Box::new(RefusedValue { given: given.into(), allowed: allowed.into() }) }
    }

    /// A name that is not valid, with the reason.
    pub fn invalid_resource(source: impl Into<BoxError>) -> Self {
        Self::InvalidResource { source: Cause::new(source) }
    }

    /// A backend that cannot be reached or does not answer, with the reason. For those who write providers.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { source: Cause::new(source) }
    }

    /// An error that the backend answered. For those who write providers.
    pub fn backend(source: impl Into<BoxError>) -> Self {
        Self::Backend { source: Cause::new(source) }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { waited } if waited.is_zero() => f.write_str("somebody else holds the lock"),
            Self::Busy { waited } => write!(f, "somebody else held the lock for the {waited:?} that the caller waited"),
            Self::TooManyWaiters => f.write_str("as many callers as allowed wait for this name's lock already"),
            Self::TooManyWaitersInTotal => {
                f.write_str("as many callers as allowed wait for locks in this process already, over all names")
            }
            Self::InvalidResource { source } => write!(f, "invalid resource name: {source}"),
            Self::InvalidOptions { option, value } => write!(f, "the option {option} is {value}"),
            Self::Unavailable { source } => write!(f, "the lock backend is unavailable: {source}"),
            Self::Backend { source } => write!(f, "the lock backend answered with an error: {source}"),
            Self::Lost => f.write_str("the lock was lost while it was needed"),
            Self::Closed => f.write_str("the lock provider is closed"),
            Self::AlreadyHeld => f.write_str("the lock is already held by this request, for a layer outside"),
            Self::NoRuntime => f.write_str("locks can be acquired only inside a tokio runtime"),
        }
    }
}

impl Error for LockError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InvalidResource { source } | Self::Unavailable { source } | Self::Backend { source } => {
                Some(source.as_error())
            }
            _ => None,
        }
    }
}

/// So that a [`Resource`](crate::Resource) can stand where anything that converts into one can.
impl From<Infallible> for LockError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The shared cause of a [`LockError`]: cloning the error keeps its source.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync + 'static>);

impl Cause {
    fn new(source: impl Into<BoxError>) -> Self {
        Self(Arc::from(source.into()))
    }

    /// The cause, to be looked at or downcast.
    pub fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
