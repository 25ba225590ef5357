//! [`Lease`]: one granted lock, implemented by its provider.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BackendId, BoxFuture, LeaseState, Release, Releasing};
use crate::LockError;

/// One granted lock, behind a [`LockGuard`](crate::LockGuard). The author of a provider implements it.
pub trait Lease: fmt::Debug + Send + Sync + 'static {
    /// The lease's fencing token, end and loss. The provider records grant, renewal and loss in it; guards and handles
    /// read it.
    fn state(&self) -> &LeaseState;

    /// Sets the end of the lease to `duration` from now, also if that is earlier than its present end.
    ///
    /// `true` if it was done. `false` if the lock was lost before: then nothing was changed, and a lost lease is never
    /// revived. The duration has been validated: 10 ms to 24 h.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] or [`LockError::Backend`]. The lease is then unchanged. The exception is a shortening
    /// that has no reply: it may have been done, so the lease ends at the earlier of both times.
    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>>;

    /// Releases the lock if this lease still owns it. Never releases the lock of another owner.
    ///
    /// Called once, also when the guard is dropped: inside or outside a runtime, on any thread, perhaps while a panic
    /// unwinds. The call must not block. The provider completes the release even if the [`Releasing`] is dropped. The
    /// [`Releasing`] ends within a time that the provider sets: a [`LockLayer`](crate::LockLayer) keeps the response until
    /// then.
    fn release(self: Arc<Self>) -> Releasing;

    /// Releases the lock as [`release`](Self::release) does, for a provider that knows the result at once. It needs no
    /// reference count and no future. Called first. `None`, the default, means that nothing was changed; then
    /// [`release`](Self::release) is called.
    fn release_at_once(&self) -> Option<Release> {
        None
    }

    /// The id of the backend that granted the lease. Backends that share their locks have one id.
    ///
    /// `HttpLockLayer` uses it to find that a request already holds the lock that it asks for, and refuses that request
    /// at once. With `None`, the default, such a request waits for itself until its wait is over. See
    /// [`LockBackend::id`](super::LockBackend::id).
    fn granted_by(&self) -> Option<BackendId> {
        None
    }
}
