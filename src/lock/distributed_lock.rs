//! [`DistributedLock`]: the lock on one resource.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::acquire::{Acquire, AcquireForever, AcquireWithin, Pending};
#[cfg(feature = "http")]
use crate::LockHandle;
use crate::backend::{Acquired, GrantedLease, LockBackend};
use crate::telemetry::Attempt;
use crate::types::{LockRequestRef, Wait};
use crate::{LockError, LockGuard, LockMode, LockOptions, Resource};

/// The lock on one resource. Creating this value does not acquire the lock.
///
/// It can be used many times and from many tasks, and is cheap to clone. It is **not re-entrant**: a task that holds
/// the lock and acquires it again waits for itself, until its wait is over or, with [`acquire`](Self::acquire), for
/// ever. Pass a [handle](crate::LockHandle) to code that runs under the lock instead.
///
/// Waiters are served in the order in which they came.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use orchestrix_locking::Locking;
///
/// let locking = Locking::builder().add_in_memory_locking().build()?;
/// let lock = locking.lock("order:42")?;
/// match lock.try_acquire(Duration::from_secs(5)).await? {
///     Some(guard) => {
///         println!("ours, with token {}", guard.fencing_token());
///         guard.release().await?;
///     }
///     None => println!("another caller holds it"),
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[doc(alias = "IDistributedLock")]
#[derive(Clone)]
pub struct DistributedLock {
    resource: Resource,
    options: LockOptions,
    backend: Arc<dyn LockBackend>,
}

impl DistributedLock {
    /// The lock on `resource` that `backend` grants. For authors of providers.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if an option is out of its range, [`LockError::Unsupported`] if the backend does not have
    /// locks with these options.
    #[inline]
    pub fn new(resource: Resource, options: LockOptions, backend: Arc<dyn LockBackend>) -> Result<Self, LockError> {
        options.validate()?;
        if !backend.supports(&options) {
            return Err(unsupported(&options));
        }
        Ok(Self { resource, options, backend })
    }

    /// Who may hold the lock at the same time.
    pub fn mode(&self) -> LockMode {
        self.options.configured_mode()
    }

    /// The resource that is locked.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The options of each acquire.
    pub fn options(&self) -> &LockOptions {
        &self.options
    }

    /// Acquires the lock, and waits for it for at most `timeout`.
    ///
    /// `Ok(None)` means that another caller still holds the lock, as the backend replied. With [`Duration::ZERO`] this
    /// is one attempt without waiting. [`Duration::MAX`] waits without a limit.
    ///
    /// Bind the guard to a name. A statement such as `try_acquire(…).await?;` drops it at once, which releases the
    /// lock, and the compiler does not warn; [`LockGuard`] lists such forms and the lints that find them. If a lock
    /// that another caller holds is an error for you, use [`acquire_within`](Self::acquire_within).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the acquire: the caller leaves the wait queue, and the lock is not held, also if it
    /// was granted at the same time.
    ///
    /// # Errors
    ///
    /// - [`LockError::Unavailable`]: the backend cannot be reached or does not reply, or the lease had ended before the
    ///   caller got it, since it is shorter than the round trip to the backend.
    /// - [`LockError::Backend`]: the backend replies with an error.
    /// - [`LockError::TooManyWaiters`]: as many callers wait already as [`LockOptions::max_waiters`] allows.
    /// - [`LockError::TooManyWaitersInTotal`]: as many callers wait already as the provider allows over all names.
    /// - [`LockError::Closed`]: the provider was closed.
    /// - [`LockError::NoRuntime`]: the call is outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// Waiting panics in a runtime that was built without its timer (`enable_time`).
    #[doc(alias = "TryAcquireAsync")]
    pub fn try_acquire(&self, timeout: Duration) -> impl Future<Output = Result<Option<LockGuard>, LockError>> + Send {
        Acquire::new(self, Wait::from(timeout))
    }

    /// [`try_acquire`](Self::try_acquire) with a future that owns the lock. Such a future can be spawned, or returned
    /// from the function that makes the lock. Clone the lock if you need it afterwards.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::time::Duration;
    /// # use orchestrix_locking::{LockError, Locking};
    /// # let locking = Locking::builder().add_in_memory_locking().build()?;
    /// let attempts = ["order:1", "order:2"]
    ///     .map(|name| locking.lock(name).map(|lock| lock.try_acquire_owned(Duration::from_secs(1))));
    /// for attempt in attempts {
    ///     let guard = attempt?.await?;
    ///     assert!(guard.is_some_and(|guard| guard.is_held()));
    /// }
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    pub fn try_acquire_owned(
        self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<LockGuard>, LockError>> + Send + 'static {
        Acquire::new(self, Wait::from(timeout))
    }

    /// Acquires the lock, and waits for it for at most `timeout`. [`LockError::Busy`] if another caller still holds it
    /// then.
    ///
    /// For callers to which that is an error like any other, such as HTTP and gRPC handlers: they return it with `?`,
    /// and it becomes the response that the layers give. The guard is not in an `Option`, so that the compiler warns if
    /// it is dropped at once by mistake.
    ///
    /// # Cancel safety and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], whose `waited` is zero exactly if `timeout` is zero. The other errors are those of
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use std::time::Duration;
    /// use orchestrix_locking::{FencingToken, LockError, Locking};
    ///
    /// async fn withdraw(locking: &Locking, account: &str) -> Result<FencingToken, LockError> {
    ///     let guard = locking.lock(account)?.acquire_within(Duration::from_secs(2)).await?;
    ///     Ok(guard.fencing_token())
    /// }
    /// # let _ = withdraw; }
    /// ```
    pub fn acquire_within(&self, timeout: Duration) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
        AcquireWithin::new(self, Wait::from(timeout))
    }

    /// The same as [`acquire_within`](Self::acquire_within), under the name that users of tokio expect: a time-out is
    /// the error [`LockError::Busy`]. If it is no error for you, use [`try_acquire`](Self::try_acquire), which returns
    /// `Ok(None)`.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_timeout(&self, timeout: Duration) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
        self.acquire_within(timeout)
    }

    /// Acquires the lock, and waits for it without a limit.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn acquire(&self) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
        AcquireForever::new(self)
    }

    /// [`acquire`](Self::acquire) with a future that owns the lock, as that of
    /// [`try_acquire_owned`](Self::try_acquire_owned) does.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn acquire_owned(self) -> impl Future<Output = Result<LockGuard, LockError>> + Send + 'static {
        AcquireForever::new(self)
    }

    /// Whether this handle is of a hold of this lock that lasts at present: same resource, same backend.
    #[cfg(feature = "http")]
    pub(crate) fn is_held_by(&self, handle: &LockHandle) -> bool {
        self.resource == *handle.resource() && handle.granted_by() == Some(self.backend.id()) && handle.is_held()
    }

    /// What grants the lock.
    pub(super) fn backend(&self) -> &Arc<dyn LockBackend> {
        &self.backend
    }

    /// Starts an acquire. A result that is known at once is written to `answer`, which is `Ok(None)` before.
    #[inline]
    pub(super) fn begin(&self, wait: Wait, answer: &mut Acquired) -> Option<Pending> {
        begin(Arc::clone(&self.backend), LockRequestRef::new(&self.resource, &self.options, wait), answer)
    }

    /// As [`begin`](Self::begin), for a lock that is not needed afterwards. It saves a reference count.
    #[inline]
    pub(crate) fn begin_once(self, wait: Wait, answer: &mut Acquired) -> Option<Pending> {
        begin(self.backend, LockRequestRef::new(&self.resource, &self.options, wait), answer)
    }
}

/// What of these options a provider does not have.
#[cold]
fn unsupported(options: &LockOptions) -> LockError {
    let what = match options.configured_mode() {
        LockMode::Exclusive => "the option at_least".to_owned(),
        mode if options.configured_at_least().is_zero() => format!("the mode {mode}"),
        mode => format!("the mode {mode} with the option at_least"),
    };
    LockError::Unsupported { what }
}

#[inline]
fn begin(backend: Arc<dyn LockBackend>, request: LockRequestRef<'_>, answer: &mut Acquired) -> Option<Pending> {
    if !in_runtime() {
        *answer = Err(LockError::NoRuntime);
        return None;
    }
    let mut attempt = Attempt::begin(request.resource());
    if let Some(answer) = backend.acquire_into(request, answer) {
        return Some(Pending::new(answer, attempt));
    }
    attempt.end(answer, GrantedLease::fencing_token);
    None
}

/// Whether there is a tokio runtime, which waiting, renewal and the loss signal need. Every acquire checks it, and not
/// only one that has to wait: so the mistake shows in the first test, and not under load.
#[inline]
fn in_runtime() -> bool {
    // Inside a task this reads one thread-local. `Handle::try_current` changes a reference count.
    tokio::task::try_id().is_some() || Handle::try_current().is_ok()
}

impl fmt::Debug for DistributedLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistributedLock")
            .field("resource", &self.resource)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
