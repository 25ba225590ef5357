//! [`Lease`]: one granted lock, as its provider sees it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{BackendId, BoxFuture, LeaseState, Release, Releasing};
use crate::LockError;

/// One granted lock. What stands behind a [`LockGuard`](crate::LockGuard); written by the author of a provider.
pub trait Lease: fmt::Debug + Send + Sync + 'static {
    /// The lease's fence, deadline and loss. The provider tells it of grant, renewal and loss; guards and
    /// handles read it.
    fn state(&self) -> &LeaseState;

    /// Makes the lease last for `duration` from now, also if that is shorter than what is left.
    ///
    /// `true` if it was done; `false` if the lock was no longer ours, and then nothing was changed: a lost
    /// lease is never revived. The duration has been validated.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] or [`LockError::Backend`]. The lease is then as it was, or, where a shorter one was
    /// asked for without an answer, believed to be that.
    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>>;

    /// Frees the lock if it is still ours, and nobody else's lock ever.
    ///
    /// Called once, also when the guard is dropped: inside or outside a runtime, on any thread, perhaps while
    /// a panic unwinds. From the call on the release is the provider's: it goes on if the [`Releasing`] is
    /// dropped. The call must not block.
    fn release(self: Arc<Self>) -> Releasing;

    /// The same for a provider whose answer is there at once: it costs no count of references and no future. Asked
    /// first; `None`, as by default, has changed nothing, and [`release`](Self::release) is called.
    fn release_at_once(&self) -> Option<Release> {
        None
    }

    /// The backend that granted the lease, or one that shares its locks with it: that from which another caller asks in
    /// vain for the lock of the same name.
    ///
    /// By it `HttpLockLayer` finds that a request which asks for a lock holds it already, and refuses it at once.
    /// With `None`, as by default, such a request waits for itself until its wait is over. See
    /// [`LockBackend::id`](super::LockBackend::id).
    fn granted_by(&self) -> Option<BackendId> {
        None
    }
}
