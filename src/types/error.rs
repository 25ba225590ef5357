//! [`LockError`]: what can go wrong with a lock.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A boxed error, the same type as `tower::BoxError`.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why a lock was not granted, not extended, not released, or not kept.
///
/// Three cases are never confused:
///
/// - Another caller holds the lock: [`Busy`](Self::Busy). For [`try_acquire`](crate::DistributedLock::try_acquire) it is
///   not an error but `Ok(None)`.
/// - The backend is down: [`Unavailable`](Self::Unavailable).
/// - The call is wrong: [`InvalidResource`](Self::InvalidResource) or [`InvalidOptions`](Self::InvalidOptions).
///
/// The text of an error includes that of its cause; [`source`](Error::source) returns the cause itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LockError {
    /// Another caller held the lock for the whole wait.
    Busy {
        /// How long the caller waited. Zero if and only if it did not want to wait.
        waited: Duration,
    },
    /// The number of callers in this process that wait for this lock is at its limit. See
    /// [`LockOptions::max_waiters`](crate::LockOptions::max_waiters).
    TooManyWaiters,
    /// The number of callers in this process that wait for any lock is at its limit. See
    /// `InMemoryLockProvider::max_waiters_in_total` and
    /// `RedisLockOptions::max_waiters_in_total`.
    TooManyWaitersInTotal,
    /// The name is not a valid [`Resource`](crate::Resource), or the closure that names the resource failed.
    InvalidResource {
        /// What is wrong with the name, or what the closure returned.
        source: Cause,
    },
    /// An option is out of its range.
    InvalidOptions {
        /// The option's name.
        option: &'static str,
        /// The refused value, and the allowed ones.
        value: Box<RefusedValue>,
    },
    /// The backend cannot be reached, or did not reply in time: within its time-out, and before the requested lease was
    /// over. The state of the lock is unknown.
    Unavailable {
        /// What failed.
        source: Cause,
    },
    /// The backend answered with an error.
    Backend {
        /// What it answered.
        source: Cause,
    },
    /// The lock was lost while it was needed: its lease ended, or the backend deleted it or gave it to
    /// another owner.
    Lost,
    /// The provider has been closed.
    Closed,
    /// A layer outside holds this lock for the request already. The request would wait for itself, so `HttpLockLayer`
    /// refuses it at once. It is a mistake in the program: two layers take the same lock.
    AlreadyHeld,
    /// The call was not made inside a tokio runtime.
    NoRuntime,
    /// The provider does not have what was asked for, such as a [`LockMode`](crate::LockMode).
    Unsupported {
        /// What was asked for.
        what: String,
    },
}

/// The value of an option that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedValue {
    given: String,
    allowed: String,
}

impl RefusedValue {
    /// The value that was given.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// The range or the values that are allowed.
    pub fn allowed(&self) -> &str {
        &self.allowed
    }
}

impl fmt::Display for RefusedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; allowed: {}", self.given, self.allowed)
    }
}

impl LockError {
    /// An option that is out of its range, with the value that was given and the allowed ones.
    pub fn invalid_options(option: &'static str, given: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self::InvalidOptions { option, value: Box::new(RefusedValue { given: given.into(), allowed: allowed.into() }) }
    }

    /// A name that is not valid, with the reason.
    pub fn invalid_resource(source: impl Into<BoxError>) -> Self {
        Self::InvalidResource { source: Cause::new(source) }
    }

    /// A backend that cannot be reached or does not reply, with the reason. For authors of providers.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { source: Cause::new(source) }
    }

    /// An error that the backend replied with. For authors of providers.
    pub fn backend(source: impl Into<BoxError>) -> Self {
        Self::Backend { source: Cause::new(source) }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { waited } if waited.is_zero() => f.write_str("another caller holds the lock"),
            Self::Busy { waited } => write!(f, "another caller held the lock for the whole wait of {waited:?}"),
            Self::TooManyWaiters => f.write_str("too many callers in this process wait for this lock already"),
            Self::TooManyWaitersInTotal => {
                f.write_str("too many callers in this process wait for locks already, over all names")
            }
            Self::InvalidResource { source } => write!(f, "invalid resource name: {source}"),
            Self::InvalidOptions { option, value } => write!(f, "the option {option} is {value}"),
            Self::Unavailable { source } => write!(f, "the lock backend is unavailable: {source}"),
            Self::Backend { source } => write!(f, "the lock backend answered with an error: {source}"),
            Self::Lost => f.write_str("the lock was lost while it was needed"),
            Self::Closed => f.write_str("the lock provider is closed"),
            Self::AlreadyHeld => f.write_str("the lock is already held by this request, for a layer outside"),
            Self::NoRuntime => f.write_str("locks can be acquired only inside a tokio runtime"),
            Self::Unsupported { what } => write!(f, "the lock provider does not support {what}"),
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

/// A [`Resource`](crate::Resource) can be passed where a value that converts into one is expected.
impl From<Infallible> for LockError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// The cause of a [`LockError`]. Clones of the error share it.
#[derive(Clone)]
pub struct Cause(Arc<dyn Error + Send + Sync + 'static>);

impl Cause {
    fn new(source: impl Into<BoxError>) -> Self {
        Self(Arc::from(source.into()))
    }

    /// The cause as an error, for example to downcast it.
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
