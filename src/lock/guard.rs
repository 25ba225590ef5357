//! [`LockGuard`]: holds a lock.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::handle::describe;
use crate::backend::{BoxFuture, GrantedLease, Release, Releasing};
use crate::sync::now;
use crate::types::check_lease;
use crate::{FencingToken, LockError, LockHandle, LockMode, Lost, Resource};

/// Holds a lock, as long as the guard lives and its lease lasts.
///
/// A lock is held by a lease. The lease can end while the guard lives: if it cannot be renewed in time, or if it is not
/// renewed at all. Check [`is_held`](Self::is_held) before a step that must not happen without the lock, wait for
/// [`lost`](Self::lost) during long work, and pass [`fencing_token`](Self::fencing_token) to the store that you write
/// to.
///
/// End a hold with [`release`](Self::release), which waits for the backend's reply. Dropping the guard releases the
/// lock in the background, see [below](#dropping-a-guard). A guard that is leaked (`std::mem::forget`) holds its lock
/// as long as the provider renews it.
///
/// Declare the guard so that it outlives what it protects: locals are dropped in reverse order.
///
/// # Guards that are dropped at once
///
/// A guard without a name is dropped at the end of its statement. The compiler warns of that for a guard, but not for
/// an `Option` of one.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::time::Duration;
/// # use orchestrix_locking::Locking;
/// # let locking = Locking::builder().add_in_memory_locking().build()?;
/// # let lock = locking.lock("order:42")?;
/// # let other = lock.clone();
/// # let is_free = async || other.try_acquire(Duration::ZERO).await.is_ok_and(|guard| guard.is_some());
/// let wait = Duration::from_secs(2);
///
/// lock.try_acquire(wait).await?; // no warning; `acquire_within(wait).await?` in its place is warned of
/// assert!(is_free().await);
/// let _ = lock.try_acquire(wait).await?; // `_` is not a name
/// assert!(is_free().await);
/// if lock.try_acquire(wait).await?.is_some() {
///     assert!(is_free().await); // dropped before the block
/// }
/// let Some(_) = lock.try_acquire(wait).await? else { return Ok(()) };
/// assert!(is_free().await);
///
/// // Right: a name, which may begin with `_`.
/// let _guard = lock.acquire_within(wait).await?;
/// assert!(!is_free().await);
/// # drop(_guard);
/// if let Some(_guard) = lock.try_acquire(wait).await? {
///     assert!(!is_free().await);
/// }
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
///
/// `if let Some(_) = lock.try_acquire(wait).await?` does hold the lock in its block, since the matched value lives
/// until its end. But clippy (`redundant_pattern_matching`) suggests `is_some()` instead, which does not. Give the
/// guard a name.
///
/// Two lints of rustc find most of the forms without a warning. They are off by default. In `Cargo.toml`:
///
/// ```toml
/// [lints.rust]
/// let_underscore_drop = "warn" # let _ = lock.try_acquire(wait).await?;
/// unused_results = "warn"      # lock.try_acquire(wait).await?;
/// ```
///
/// Neither finds `is_some()` and `let Some(_)`. [`acquire_within`](crate::DistributedLock::acquire_within) returns no
/// `Option`, so it has no such forms.
///
/// # Dropping a guard
///
/// Dropping a guard passes the release to the provider and returns at once, on any thread, inside a runtime or not.
///
/// With the in-memory provider the lock is free when `drop` returns. A provider on a server, such as
/// `RedisLockProvider`, still has to send the release, and its background tasks need a running tokio runtime for that.
/// Await [`release`](Self::release) or [`Locking::close`](crate::Locking::close) before the runtime ends: then you know
/// that the lock is free.
///
/// Without that, the end of a runtime waits for the unfinished releases of `RedisLockProvider`, for at most
/// `response_timeout`, unless another runtime continues them. This fails after `shutdown_background`,
/// `std::process::exit` or an abort, and if the server does not reply in that time. The lock then stays held until its
/// lease ends.
#[doc(alias = "IAsyncDisposable")]
#[must_use = "the lock is released when the guard is dropped: bind it to a name, such as `_guard`; `_` is not one"]
pub struct LockGuard(GrantedLease);

impl LockGuard {
    /// The resource that is locked.
    pub fn resource(&self) -> &Resource {
        self.0.resource()
    }

    /// Whether this guard holds the lock at present, by the monotonic clock. Once `false`, it stays `false`.
    #[doc(alias = "IsHeld")]
    #[inline]
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// The number by which a store can refuse a late write of an earlier holder. See [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        self.0.fencing_token()
    }

    /// Who may hold the lock at the same time.
    pub fn mode(&self) -> LockMode {
        self.0.mode()
    }

    /// The number of the permit, for a lock in the mode [`LockMode::Permits(n)`](LockMode::Permits): `0..n`, the lowest that
    /// was free. No other holder has it meanwhile, so it can name a worker or a shard. `None` in other modes.
    pub fn permit(&self) -> Option<u32> {
        self.0.permit()
    }

    /// The time at which the lease ends unless it is renewed or extended. After a loss it is in the past.
    pub fn expires_at(&self) -> Instant {
        self.0.share().state().expires_at()
    }

    /// How long the lease still lasts; zero if the lock is not held.
    pub fn remaining(&self) -> Duration {
        self.0.share().state().remaining()
    }

    /// A view of the lock that can be cloned and passed on. It cannot release the lock.
    pub fn handle(&self) -> LockHandle {
        LockHandle::new(self.0.share())
    }

    /// Resolves when the lock is lost, also because the provider was closed. At once if it is lost already; never
    /// because of this guard's release. See [`Lost`].
    ///
    /// # Examples
    ///
    /// Work that ends when the lock is lost:
    ///
    /// ```
    /// # use orchestrix_locking::{LockError, LockGuard};
    /// # async fn step() {}
    /// async fn work(guard: LockGuard) -> Result<(), LockError> {
    ///     let mut lost = guard.lost();
    ///     for _ in 0..10 {
    ///         tokio::select! {
    ///             () = &mut lost => return Err(LockError::Lost),
    ///             () = step() => {}
    ///         }
    ///     }
    ///     guard.release().await.map(drop)
    /// }
    /// ```
    pub fn lost(&self) -> Lost {
        Lost::new(self.0.share())
    }

    /// Sets the end of the lease to `duration` from now, also if that is earlier than its present end. `duration` is 10
    /// ms to 24 h.
    ///
    /// `true`: the guard holds the lock for `duration` from now, and longer if it is renewed automatically. `false`:
    /// the lock is lost, and nothing was changed.
    ///
    /// Several extensions of one guard are done one after the other. Each counts from the time at which it is sent.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the extension may or may not be done. The lock is not released.
    ///
    /// # Errors
    ///
    /// - [`LockError::InvalidOptions`]: `duration` is out of its range, or the lease would last longer than
    ///   [`max_hold`](crate::LockOptions::max_hold).
    /// - [`LockError::Unavailable`] or [`LockError::Backend`]: the backend did not extend the lease, or did not reply.
    ///   The lease is then unchanged. The exception is a shortening without a reply: it may have been done, so the
    ///   lease ends at the earlier of both times.
    #[doc(alias = "ExtendAsync")]
    pub async fn extend(&self, duration: Duration) -> Result<bool, LockError> {
        self.check_extension(duration)?;
        self.begin_extension(duration).await
    }

    /// Whether the lease may be extended by this.
    pub(super) fn check_extension(&self, duration: Duration) -> Result<(), LockError> {
        check_lease("duration (of extend)", duration)?;
        let lease = self.0.share();
        if let Some(limit) = lease.state().limit() {
            let left = limit.saturating_duration_since(now());
            if duration > left && self.is_held() {
                let allowed = format!("at most the {} ms that are left of max_hold", left.as_millis());
                return Err(LockError::invalid_options("duration (of extend)", format!("{duration:?}"), allowed));
            }
        }
        Ok(())
    }

    pub(super) fn begin_extension(&self, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        self.0.share().extend(duration)
    }

    /// Releases the lock, and waits for the backend's reply.
    ///
    /// [`Release::AlreadyLost`] means that the lock was lost before: the work under it may have overlapped with that of
    /// another holder.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the release continues in the background.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if the backend did not reply. The release continues in the background until the
    /// backend has replied or the lease has ended.
    #[doc(alias = "ReleaseAsync")]
    pub async fn release(self) -> Result<Release, LockError> {
        self.0.release().await
    }

    /// See [`GrantedLease::release_at_once`].
    #[inline]
    pub(super) fn release_at_once(&mut self) -> Option<Release> {
        self.0.release_at_once()
    }

    pub(super) fn release_later(&self) -> Releasing {
        self.0.release_later()
    }
}

/// Makes the guard of a lease that a backend has just granted. For authors of providers.
impl From<GrantedLease> for LockGuard {
    #[inline]
    fn from(lease: GrantedLease) -> Self {
        Self(lease)
    }
}

/// Takes the lease out of a guard, for a provider that passes acquires on to another provider.
impl From<LockGuard> for GrantedLease {
    #[inline]
    fn from(guard: LockGuard) -> Self {
        guard.0
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe("LockGuard", self.resource(), self.fencing_token(), self.is_held(), f)
    }
}

#[cfg(all(test, not(orchestrix_loom)))]
mod tests {
    use super::*;

    /// A guard has three pieces of 16 bytes, and so has the result of an acquire.
    #[test]
    fn an_answer_is_no_bigger_than_a_guard() {
        assert_eq!(size_of::<LockGuard>(), 48);
        assert_eq!(size_of::<Result<Option<LockGuard>, LockError>>(), 48);
    }
}
