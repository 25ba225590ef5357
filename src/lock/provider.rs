//! [`DistributedLockProvider`]: makes locks.

use std::fmt;
use std::sync::Arc;

use super::DistributedLock;
use crate::backend::BoxFuture;
use crate::{LockError, LockOptions, Resource};

/// Makes locks: in memory, on Redis, or on another backend.
///
/// It can be used as a type parameter and as `Arc<dyn DistributedLockProvider>`, which implements it too. The
/// [`provider`](crate::provider) module describes how to write one.
#[doc(alias = "IDistributedLockProvider")]
pub trait DistributedLockProvider: fmt::Debug + Send + Sync + 'static {
    /// The lock on `resource`. Does no I/O and acquires nothing.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if an option is out of its range.
    #[doc(alias = "CreateLock")]
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError>;

    /// Whether the backend can grant locks at present, for a readiness probe. The default is `Ok(())`.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] or [`LockError::Backend`] with the cause; [`LockError::Closed`] after
    /// [`close`](Self::close).
    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Ends the provider. Releases every lock that is still held: to its guard that is a loss. Waiters, and all later
    /// acquires, get [`LockError::Closed`]. Returns when the pending releases have a reply. The default does nothing.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl<P: DistributedLockProvider + ?Sized> DistributedLockProvider for Arc<P> {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        (**self).create_lock(resource, options)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        (**self).check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        (**self).close()
    }
}
