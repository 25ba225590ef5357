//! [`LockBackend`]: grants locks.

use std::fmt;
use std::sync::Arc;

use super::{Acquired, Acquiring, BackendId, BoxFuture};
use crate::types::LockRequestRef;
use crate::{LockMode, LockOptions, LockRequest};

/// Grants locks, behind a [`DistributedLock`](crate::DistributedLock). The author of a provider implements it.
pub trait LockBackend: fmt::Debug + Send + Sync + 'static {
    /// Acquires the requested lock, or joins its wait queue.
    ///
    /// The options have been validated. The call itself must not block. If the result is known at once, return
    /// [`Acquiring::ready`], which needs no allocation.
    ///
    /// # Contract
    ///
    /// - The result is `Ok(Some(_))` with a [`GrantedLease`](super::GrantedLease), `Ok(None)` if another caller holds
    ///   the lock and the wait is over, or an error. `Ok(None)` is a reply of the backend. If the backend does not
    ///   reply, the result is [`LockError::Unavailable`](crate::LockError::Unavailable).
    /// - Waiters are served in the order in which they came. A newcomer does not overtake them.
    /// - At most [`LockOptions::configured_max_waiters`](crate::LockOptions::configured_max_waiters) callers wait in
    ///   this process. One more gets [`LockError::TooManyWaiters`](crate::LockError::TooManyWaiters) if it is ready to
    ///   wait, and `Ok(None)` if it is not.
    /// - A dropped [`Acquiring`] leaves nothing behind: no lock, no waiter, no entry in a map. That includes an acquire
    ///   that was granted the lock and has not been polled since.
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring;

    /// As [`acquire`](Self::acquire), for a caller that has a place for the result. A result that is known at once is
    /// written to `answer`, which is `Ok(None)` before the call, and no future is returned. If a future is returned,
    /// `answer` is ignored and dropped.
    ///
    /// Every acquire calls this method. The default calls [`acquire`](Self::acquire), which is enough for most
    /// backends. A backend whose grants take only nanoseconds can implement it: it then writes the lease where the
    /// caller keeps it, and copies no more of the request than it needs. Both methods must have the same results, and
    /// the contract of `acquire` applies to both: a dropped future leaves nothing behind.
    fn acquire_into(
        self: Arc<Self>,
        request: LockRequestRef<'_>,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        self.acquire(request.to_request()).into_place(answer)
    }

    /// Whether it has locks with these options: their [mode](LockOptions::mode), and whether they stay taken for a time
    /// ([`LockOptions::at_least`]). A lock with other options is refused with
    /// [`LockError::Unsupported`](crate::LockError::Unsupported) when it is made. The default has exclusive locks alone.
    fn supports(&self, options: &LockOptions) -> bool {
        options.configured_mode() == LockMode::Exclusive && options.configured_at_least().is_zero()
    }

    /// Runs `calls` at once, in which several acquires and releases of this backend are begun. A backend that sends commands
    /// may keep them back meanwhile, and send them together afterwards. The default only runs `calls`.
    fn together(&self, calls: &mut dyn FnMut()) {
        calls();
    }

    /// The id that its leases return from [`Lease::granted_by`](super::Lease::granted_by). The default is its address.
    /// Backends that share their locks have to return one id.
    fn id(&self) -> BackendId {
        BackendId::of(self)
    }
}
