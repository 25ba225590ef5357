//! [`LockSet`]: several locks that are taken at once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::LockSetGuard;
use super::acquire::{Missing, acquire};
use super::plan::Plan;
use crate::lock::acquire::busy;
use crate::types::Wait;
use crate::{DistributedLock, LockError, Resource};

/// Several locks that are taken at once: all of them, or none. Made by [`Locking::lock_all`](crate::Locking::lock_all).
/// Creating this value acquires nothing.
///
/// Locks are taken in the byte order of their names, whatever the order in which they were asked for. While a set waits it
/// holds only locks whose names come before the one that it waits for, so sets never deadlock each other. Each wait is in the
/// lock's own queue, in the order of arrival. A set is not re-entrant: a task that takes a lock which it holds already waits
/// for itself.
///
/// # What others see meanwhile
///
/// Locks that a waiting set holds already are held for everybody else too. So a set whose names are often held keeps others
/// waiting longer than a single lock does: give it a time-out, and few names. A set that cannot have all locks at once also
/// takes some of them for a moment and gives them back.
///
/// Each lease counts from its own grant. A limit such as [`LockOptions::max_hold`](crate::LockOptions::max_hold) therefore
/// counts the time for which a lock has waited for the others of its set. If a lock is lost while the set waits for the next
/// one, the set begins again, within the time of the caller.
///
/// In events and metrics each attempt to acquire one of the locks counts as an acquire of its own.
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
/// let transfer = locking.lock_all(["account:7", "account:3"])?;
/// if let Some(guard) = transfer.try_acquire(Duration::from_secs(2)).await? {
///     let names: Vec<_> = guard.guards().iter().map(|guard| guard.resource().as_str()).collect();
///     assert_eq!(names, ["account:3", "account:7"]);
///     guard.release().await?;
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[doc(alias = "MultiLock")]
#[doc(alias = "lock_many")]
#[derive(Clone)]
#[must_use = "nothing is locked before an acquire"]
pub struct LockSet {
    plan: Arc<Plan>,
}

impl LockSet {
    /// The most locks that a set may have, 64.
    pub const MAX_LOCKS: usize = super::plan::MAX_LOCKS;

    /// A set of these locks. A name that comes again counts once.
    pub(crate) fn new(locks: impl Iterator<Item = Result<DistributedLock, LockError>>) -> Result<Self, LockError> {
        Ok(Self { plan: Arc::new(Plan::new(locks)?) })
    }

    /// The locks, in the byte order of their names.
    pub fn locks(&self) -> &[DistributedLock] {
        &self.plan.locks
    }

    /// The names, in byte order.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.plan.locks.iter().map(DistributedLock::resource)
    }

    pub(crate) fn begin(
        &self,
        wait: Wait,
    ) -> impl Future<Output = Result<Result<LockSetGuard, Missing>, LockError>> + Send + use<> {
        acquire(Arc::clone(&self.plan), wait)
    }

    /// Acquires all locks, and waits for them for at most `timeout`, in total.
    ///
    /// `Ok(None)` means that another caller still holds at least one of the locks, as the backend replied. With
    /// [`Duration::ZERO`] this is one attempt without waiting. [`Duration::MAX`] waits without a limit. The future can be
    /// spawned: it does not borrow the set.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the acquire: the caller leaves the wait queue, and none of the locks is held.
    ///
    /// # Errors
    ///
    /// As [`DistributedLock::try_acquire`], the first in the order of names; none of the locks is held then. A lock of the set
    /// that was lost before all were held is [`LockError::Unavailable`], if there is no time to begin again.
    ///
    /// # Panics
    ///
    /// As [`DistributedLock::try_acquire`].
    #[doc(alias = "TryAcquireAsync")]
    pub fn try_acquire(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<LockSetGuard>, LockError>> + Send + use<> {
        let acquired = self.begin(Wait::from(timeout));
        async move { acquired.await.map(Result::ok) }
    }

    /// [`try_acquire`](Self::try_acquire), for a set that is not needed afterwards.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn try_acquire_owned(
        self,
        timeout: Duration,
    ) -> impl Future<Output = Result<Option<LockSetGuard>, LockError>> + Send + use<> {
        self.try_acquire(timeout)
    }

    /// Acquires all locks, and waits for them for at most `timeout`, in total. [`LockError::Busy`] if another caller still
    /// holds one of them then.
    ///
    /// # Cancel safety and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`], whose `waited` is zero exactly if `timeout` is zero. The other errors are those of
    /// [`try_acquire`](Self::try_acquire).
    pub fn acquire_within(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<LockSetGuard, LockError>> + Send + use<> {
        let wait = Wait::from(timeout);
        let acquired = self.begin(wait);
        async move {
            let since = Instant::now();
            acquired.await?.map_err(|_| busy(wait, Some(since)))
        }
    }

    /// The same as [`acquire_within`](Self::acquire_within), under the name that users of tokio expect.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`acquire_within`](Self::acquire_within).
    pub fn acquire_timeout(
        &self,
        timeout: Duration,
    ) -> impl Future<Output = Result<LockSetGuard, LockError>> + Send + use<> {
        self.acquire_within(timeout)
    }

    /// Acquires all locks, and waits for them without a limit.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn acquire(&self) -> impl Future<Output = Result<LockSetGuard, LockError>> + Send + use<> {
        self.acquire_within(Duration::MAX)
    }

    /// [`acquire`](Self::acquire), for a set that is not needed afterwards.
    ///
    /// # Cancel safety, errors and panics
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn acquire_owned(self) -> impl Future<Output = Result<LockSetGuard, LockError>> + Send + use<> {
        self.acquire()
    }
}

/// Shows the locks.
impl fmt::Debug for LockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockSet").field(&self.plan.locks).finish()
    }
}
