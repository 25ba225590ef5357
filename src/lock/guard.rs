//! [`LockGuard`], which holds a lock.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::handle::describe;
use crate::backend::{GrantedLease, Release, Releasing};
use crate::sync::now;
use crate::types::check_lease;
use crate::{FencingToken, LockError, LockHandle, Lost, Resource};

/// A lock that is held, for as long as this lives and its lease lasts.
///
/// A lock is a lease: it can end while the guard lives, if it cannot be renewed in time or is not to be. Ask
/// [`is_held`](Self::is_held) before a step that must not happen without the lock, wait for
/// [`lost`](Self::lost) beside long work, and hand [`fencing_token`](Self::fencing_token) to the store that
/// is written to.
///
/// End a hold with [`release`](Self::release), which waits for the answer. Dropping the guard releases the lock in the
/// background, as [below](#dropping-a-guard). A guard that is leaked (`std::mem::forget`)
/// holds its lock for as long as the provider renews it.
///
/// Declare the guard so that it outlives what it protects: locals are dropped in reverse order.
///
/// # Guards that are dropped at once
///
/// A guard that has no name is dropped where its statement ends. The compiler warns of it where it can: for a guard, and
/// not for an `Option` of one.
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
/// `if let Some(_) = lock.try_acquire(wait).await?` does hold the lock in its block, since what is matched lives as long.
/// But clippy (`redundant_pattern_matching`) advises `is_some()` in its place, which does not. Give the guard a name.
///
/// Two lints of rustc find the forms that are silent otherwise, and are off unless asked for. In `Cargo.toml`:
///
/// ```toml
/// [lints.rust]
/// let_underscore_drop = "warn" # let _ = lock.try_acquire(wait).await?;
/// unused_results = "warn"      # lock.try_acquire(wait).await?;
/// ```
///
/// Neither sees `is_some()` and `let Some(_)`. [`acquire_within`](crate::DistributedLock::acquire_within) has no `Option`
/// to be looked into.
///
/// # Dropping a guard
///
/// Dropping a guard hands the release to its provider and returns at once, on any thread, inside a runtime or not.
///
/// With the in-memory provider the lock is free when `drop` returns. A provider on a server, such as
/// `RedisLockProvider`, has yet to send the release, and its background tasks need a tokio runtime that is still running
/// for that. Call [`release`](Self::release) or [`Locking::close`](crate::Locking::close) before the runtime ends, and
/// await it: then it is known what became of the lock.
///
/// Where that was not done, the end of a runtime waits for releases that `RedisLockProvider` has not finished, for at most
/// `response_timeout`, unless another runtime goes on with them. That fails after `shutdown_background`,
/// `std::process::exit`, an abort, and where the server does not answer in that time; the lock then stays taken until its
/// lease ends.
#[doc(alias = "IAsyncDisposable")]
#[must_use = "the lock is released when the guard is dropped: bind it to a name, such as `_guard`; `_` is not one"]
pub struct LockGuard(GrantedLease);

impl LockGuard {
    /// What is locked.
    pub fn resource(&self) -> &Resource {
        self.0.resource()
    }

    /// Whether this guard holds the lock at this moment, by the monotonic clock. Once `false`, it stays `false`.
    #[doc(alias = "IsHeld")]
    #[inline]
    pub fn is_held(&self) -> bool {
        self.0.is_held()
    }

    /// The number with which a store can refuse the late write of an earlier holder. See [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        self.0.fencing_token()
    }

    /// The time at which the lease ends unless it is renewed or extended. After a loss it is in the past.
    pub fn expires_at(&self) -> Instant {
        self.0.share().state().expires_at()
    }

    /// What is left of the lease; zero if the lock is not held.
    pub fn remaining(&self) -> Duration {
        self.0.share().state().remaining()
    }

    /// A view of the lock that can be cloned and given away. It cannot release the lock.
    pub fn handle(&self) -> LockHandle {
        LockHandle::new(self.0.share())
    }

    /// Resolves when the lock is no longer ours, also because the provider was closed; at once if it is lost already,
    /// never because of our own release. See [`Lost`].
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

    /// Makes the lease last for `duration` from now, also if that is shorter than what is left; 10 ms to 24 h.
    ///
    /// `true`: the guard holds the lock for `duration` from now (and longer, if it is renewed automatically).
    /// `false`: the lock is lost, and nothing was changed.
    ///
    /// Several extensions of one guard are done one after the other; each counts from the time at which it is sent.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the lease has been extended or has not; the lock is not released by it.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if `duration` is out of its range, or would carry the lease past
    /// [`max_hold`](crate::LockOptions::max_hold); [`LockError::Unavailable`] or [`LockError::Backend`] if
    /// the backend did not do it, or did not say that it did. The lease is then as it was; but where a shorter one was
    /// asked for, and no answer came, it may have become that, and ends then.
    #[doc(alias = "ExtendAsync")]
    pub async fn extend(&self, duration: Duration) -> Result<bool, LockError> {
        check_lease("duration (of extend)", duration)?;
        let lease = self.0.share();
        if let Some(limit) = lease.state().limit() {
            let left = limit.saturating_duration_since(now());
            if duration > left && self.is_held() {
                let allowed = format!("at most the {} ms that are left of max_hold", left.as_millis());
                return Err(LockError::invalid_options("duration (of extend)", format!("{duration:?}"), allowed));
            }
        }
        lease.extend(duration).await
    }

    /// Releases the lock and waits for the answer.
    ///
    /// [`Release::AlreadyLost`] says that the lock was lost before: what was done under it may have overlapped with
    /// another holder.
    ///
    /// # Cancel safety
    ///
    /// The release goes on in the background if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if the backend did not answer. The release goes on in the background, until
    /// it is answered or the lease has ended.
    #[doc(alias = "ReleaseAsync")]
    pub async fn release(self) -> Result<Release, LockError> {
        self.0.release().await
    }

    /// Releases the lock, once, if that needs no waiting. Otherwise it is to be [released later](Self::release_later).
    #[inline]
    pub(crate) fn release_at_once(&mut self) -> Option<Release> {
        self.0.release_at_once()
    }

    pub(crate) fn release_later(&self) -> Releasing {
        self.0.release_later()
    }
}

/// Of a lease that a backend has just granted. For those who write providers.
impl From<GrantedLease> for LockGuard {
    #[inline]
    fn from(lease: GrantedLease) -> Self {
        Self(lease)
    }
}

/// For a provider that passes acquires on to another one.
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

    /// Three pieces of 16 bytes, and nothing beside them for the answers in which a guard can stand.
    #[test]
    fn an_answer_is_no_bigger_than_a_guard() {
        assert_eq!(size_of::<LockGuard>(), 48);
        assert_eq!(size_of::<Result<Option<LockGuard>, LockError>>(), 48);
    }
}
