//! [`DistributedLockProvider`]: what makes locks.

use std::fmt;
use std::sync::Arc;

use super::DistributedLock;
use crate::backend::BoxFuture;
use crate::{LockError, LockOptions, Resource};

/// Makes locks: in memory, on Redis, or on whatever else can keep one.
///
/// Usable statically and as `Arc<dyn DistributedLockProvider>`, which is a provider too. See the
/// [`provider`](crate::provider) module for how to write one.
#[doc(alias = "IDistributedLockProvider")]
pub trait DistributedLockProvider: fmt::Debug + Send + Sync + 'static {
    /// A lock on `resource`. Makes no contact with the backend and takes nothing: acquiring does.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if an option is out of its range.
    #[doc(alias = "CreateLock")]
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError>;

    /// Whether the backend can grant locks at present, for a readiness probe. Always, unless the provider
    /// says otherwise.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] or [`LockError::Backend`] with what is wrong, [`LockError::Closed`] after
    /// [`close`](Self::close).
    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Ends the provider. Releases every lock that is still held: its guard sees that as a loss. Ends waiters with
    /// [`LockError::Closed`], refuses later acquires with the same, and returns when pending releases are answered. Does
    /// nothing unless the provider says otherwise.
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
