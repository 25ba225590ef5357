//! [`DistributedLock`]: one resource's lock, to be acquired.

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
use crate::{LockError, LockGuard, LockOptions, Resource};

/// The lock on one resource. Making it takes nothing; acquiring does.
///
/// It can be used many times and from many tasks, and is cheap to clone. It is **not re-entrant**: a task
/// that holds the lock and acquires it again waits for itself, until its wait is over or, with
/// [`acquire`](Self::acquire), for ever. Pass the [`LockHandle`](crate::LockHandle) down instead.
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
    /// A lock on `resource` that `backend` grants. For those who write providers.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if an option is out of its range.
    #[inline]
    pub fn new(resource: Resource, options: LockOptions, backend: Arc<dyn LockBackend>) -> Result<Self, LockError> {
        options.validate()?;
        Ok(Self { resource, options, backend })
    }

    /// What is locked.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The options with which it is locked.
    pub fn options(&self) -> &LockOptions {
        &self.options
    }

    /// Acquires the lock, waiting for it for `timeout` at most.
    ///
    /// `Ok(None)` says that another caller still holds it, as the backend answered. [`Duration::ZERO`] is one
    /// attempt without waiting; [`Duration::MAX`] is as long as it takes.
    ///
    /// Bind the guard to a name. An expression such as `try_acquire(…).await?;` drops it, and so releases the lock, at
    /// once, and the compiler says nothing; [`LockGuard`] lists the forms and the lints that find them. Where "held by
    /// another" is an error to the caller, [`acquire_within`](Self::acquire_within) is the better choice.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is the cancellation. The place in the queue is given up and the lock is not held,
    /// also if it was granted at that very moment.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if the backend cannot be reached or does not answer, or if the lease was over before
    /// the caller had it, since it is shorter than the way to the backend and back; [`LockError::Backend`] if the backend
    /// answers with an error; [`LockError::TooManyWaiters`] if as many as [`LockOptions::max_waiters`] allows wait already,
    /// [`LockError::TooManyWaitersInTotal`] if as many as the provider allows over all names do;
    /// [`LockError::Closed`] after the provider was closed, [`LockError::NoRuntime`] outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// Waiting panics in a runtime that was built without its timer (`enable_time`).
    #[doc(alias = "TryAcquireAsync")]
    pub fn try_acquire(&self, timeout: Duration) -> impl Future<Output = Result<Option<LockGuard>, LockError>> + Send {
        Acquire::new(self, Wait::from(timeout))
    }

    /// [`try_acquire`](Self::try_acquire) with a future that owns the lock, so that it can be returned from where the
    /// lock was made, or spawned. Clone the lock if it is needed afterwards.
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

    /// Acquires the lock, waiting for it for `timeout` at most: a guard, or [`LockError::Busy`] if another holder has it
    /// still.
    ///
    /// For callers to whom that is an error like any other, such as HTTP and gRPC handlers: they hand it on with `?`,
    /// and answer as the layers do. And the guard is not in an `Option`, so that the compiler warns where it is dropped
    /// at once by mistake.
    ///
    /// # Cancel safety and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], whose `waited` is zero exactly if `timeout` is; otherwise as
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

    /// The same as [`acquire_within`](Self::acquire_within), by the name that tokio's users expect: a time-out is an error,
    /// [`LockError::Busy`]. If it is none for you, use [`try_acquire`](Self::try_acquire), which returns `Ok(None)` then.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_timeout(&self, timeout: Duration) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
        self.acquire_within(timeout)
    }

    /// Acquires the lock, waiting for as long as it takes.
    ///
    /// # Cancel safety
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn acquire(&self) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
        AcquireForever::new(self)
    }

    /// [`acquire`](Self::acquire) with a future that owns the lock, as [`try_acquire_owned`](Self::try_acquire_owned)
    /// has one.
    ///
    /// # Cancel safety and errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn acquire_owned(self) -> impl Future<Output = Result<LockGuard, LockError>> + Send + 'static {
        AcquireForever::new(self)
    }

    /// Whether this handle looks at a hold of this very lock at this moment: of the same name, from the same backend.
    #[cfg(feature = "http")]
    pub(crate) fn is_held_by(&self, handle: &LockHandle) -> bool {
        self.resource == *handle.resource() && handle.granted_by() == Some(self.backend.id()) && handle.is_held()
    }

    /// Begins to acquire. An answer that is known at once is put into `answer`, which is `Ok(None)` before.
    #[inline]
    pub(super) fn begin(&self, wait: Wait, answer: &mut Acquired) -> Option<Pending> {
        begin(Arc::clone(&self.backend), LockRequestRef::new(&self.resource, &self.options, wait), answer)
    }

    /// The same for a lock that is not needed afterwards.
    #[inline]
    pub(crate) fn begin_once(self, wait: Wait, answer: &mut Acquired) -> Option<Pending> {
        begin(self.backend, LockRequestRef::new(&self.resource, &self.options, wait), answer)
    }
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

/// Waiting, renewal and the loss signal need a runtime. Refused at every attempt, and not only at the first
/// that has to wait, so that the mistake shows in the first test and not under the first load.
#[inline]
fn in_runtime() -> bool {
    // Inside a task this is one look at a thread-local; asking for the runtime's handle counts references.
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
