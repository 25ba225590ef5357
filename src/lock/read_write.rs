//! [`ReadWriteLock`]: the lock on one resource, for readers and for writers.

use crate::{DistributedLock, DistributedLockProvider, LockError, LockMode, LockOptions, Resource};

/// The lock on one resource, for readers, which hold it together, and for writers, each of which holds it alone. Creating
/// this value does not acquire the lock.
///
/// Readers and writers wait in one queue and are served in the order in which they came. So neither starves: a reader that
/// comes after a waiting writer waits behind it, also if others read at that time.
///
/// A guard stays what it is. **There is no upgrade**: a reader that acquires the write lock waits for itself. Release the
/// read lock, acquire the write lock, and read anew. `docs/kinds.md` has the reasons and the code.
///
/// It is cheap to clone. Made by [`Locking::read_write`](crate::Locking::read_write).
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
/// let document = locking.read_write("document:7")?;
/// let one = document.read().acquire().await?;
/// let other = document.read().acquire().await?;
/// assert_eq!(one.fencing_token(), other.fencing_token());
/// assert!(document.write().try_acquire(Duration::ZERO).await?.is_none());
/// drop((one, other));
/// let writer = document.write().acquire().await?;
/// assert!(document.read().try_acquire(Duration::ZERO).await?.is_none());
/// # drop(writer);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct ReadWriteLock {
    read: DistributedLock,
    write: DistributedLock,
}

impl ReadWriteLock {
    /// The lock on `resource` of this provider. The [mode](LockOptions::mode) of the options is not used.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if an option is out of its range, [`LockError::Unsupported`] if the provider has no
    /// shared locks.
    pub fn new<P>(provider: &P, resource: Resource, options: LockOptions) -> Result<Self, LockError>
    where
        P: DistributedLockProvider + ?Sized,
    {
        Ok(Self {
            read: provider.create_lock(resource.clone(), options.mode(LockMode::Shared))?,
            write: provider.create_lock(resource, options.mode(LockMode::Exclusive))?,
        })
    }

    /// The lock of readers, in the mode [`LockMode::Shared`].
    pub fn read(&self) -> &DistributedLock {
        &self.read
    }

    /// The lock of writers, in the mode [`LockMode::Exclusive`].
    pub fn write(&self) -> &DistributedLock {
        &self.write
    }

    /// The resource that is locked.
    pub fn resource(&self) -> &Resource {
        self.write.resource()
    }
}
