//! [`LockBackend`]: what grants a lock.

use std::fmt;
use std::sync::Arc;

use super::{Acquired, Acquiring, BackendId, BoxFuture};
use crate::LockRequest;
use crate::types::LockRequestRef;

/// Grants locks. What stands behind a [`DistributedLock`](crate::DistributedLock); written by the author of a provider.
pub trait LockBackend: fmt::Debug + Send + Sync + 'static {
    /// Acquires the lock that is asked for, or joins the queue for it.
    ///
    /// The options have been validated. The call itself must not block; where the answer is known at once it
    /// is best given as [`Acquiring::ready`], which costs no box.
    ///
    /// # What must hold
    ///
    /// - The answer is `Ok(Some(_))` with a [`GrantedLease`](super::GrantedLease), `Ok(None)` if another caller holds the
    ///   lock and the wait is over, or an error. `Ok(None)` is an answer of the backend: silence is
    ///   [`LockError::Unavailable`](crate::LockError::Unavailable).
    /// - Waiters are served in the order in which they came. A newcomer does not overtake them.
    /// - At most [`LockOptions::configured_max_waiters`](crate::LockOptions::configured_max_waiters) wait in this process;
    ///   one more gets [`LockError::TooManyWaiters`](crate::LockError::TooManyWaiters) if it was ready to wait, and
    ///   `Ok(None)` if it was not.
    /// - A dropped [`Acquiring`] leaves nothing behind: no lock, no place in a queue, no entry in a map. That
    ///   includes one that has been granted the lock and has not been polled since.
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring;

    /// The same for a caller who has a place for the answer: one that is known at once is put into `answer`, which was
    /// `Ok(None)` before, and then there is no future. What is put there beside a future is dropped.
    ///
    /// This is what is called for every acquire. Unless a backend says otherwise it asks [`acquire`](Self::acquire),
    /// which is all that most need. One for which nanoseconds count makes the lease where it stays,
    /// and copies no more of the request than it keeps. Then both have to
    /// answer alike, and what must hold for `acquire` holds for both: the future that is returned leaves nothing behind
    /// when it is dropped.
    fn acquire_into(
        self: Arc<Self>,
        request: LockRequestRef<'_>,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        self.acquire(request.to_request()).into_place(answer)
    }

    /// By which its leases are [known](super::Lease::granted_by). Its address, unless the backend says otherwise: one that
    /// shares its locks with others has to.
    fn id(&self) -> BackendId {
        BackendId::of(self)
    }
}
