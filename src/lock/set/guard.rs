//! [`LockSetGuard`]: holds several locks.

use std::fmt;
use std::time::Duration;

use super::plan::Backends;
use super::release::SetRelease;
use crate::{LockError, LockGuard, LockSetHandle, Lost, Release};

/// Holds all locks of a [`LockSet`](crate::LockSet), as long as the guard lives and their leases last.
///
/// Each lock has a lease and a fencing token of its own: see [`LockGuard`]. Dropping the guard releases all of them in the
/// background, and [`release`](Self::release) waits for the replies.
#[must_use = "the locks are released when the guard is dropped: bind it to a name, such as `_guard`; `_` is not one"]
pub struct LockSetGuard {
    /// In the byte order of the names.
    guards: Vec<LockGuard>,
    backends: Backends,
}

impl LockSetGuard {
    /// Holds no lock yet.
    pub(super) fn new(backends: &Backends) -> Self {
        Self { guards: Vec::new(), backends: backends.clone() }
    }

    pub(super) fn push(&mut self, guard: LockGuard) {
        self.guards.push(guard);
    }

    /// Releases all locks in the background.
    pub(super) fn clear(&mut self) {
        let Self { guards, backends } = self;
        if !guards.is_empty() {
            backends.together(&mut || guards.clear());
        }
    }

    /// A guard of each lock, in the byte order of their names.
    pub fn guards(&self) -> &[LockGuard] {
        &self.guards
    }

    /// The guard of the lock on `name`. `None` if the set does not have it.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&LockGuard> {
        let name = name.as_ref();
        let at = self.guards.binary_search_by(|guard| guard.resource().as_str().cmp(name)).ok()?;
        self.guards.get(at)
    }

    /// Whether all locks are held at present, by the monotonic clock. Once `false`, it stays `false`.
    #[doc(alias = "IsHeld")]
    pub fn is_held(&self) -> bool {
        self.guards.iter().all(LockGuard::is_held)
    }

    /// How long all leases still last: the least of them, and zero if one of the locks is not held.
    pub fn remaining(&self) -> Duration {
        self.guards.iter().map(LockGuard::remaining).min().unwrap_or_default()
    }

    /// Resolves when the first of the locks is lost, also because the provider was closed. At once if one is lost already;
    /// never because of this guard's release. See [`Lost`].
    pub fn lost(&self) -> Lost {
        Lost::of_any(self.guards.iter().map(LockGuard::lost))
    }

    /// A view of the locks that can be cloned and passed on. It cannot release them.
    pub fn handle(&self) -> LockSetHandle {
        LockSetHandle::new(self.guards.iter().map(LockGuard::handle).collect())
    }

    /// Sets the end of every lease to `duration` from now, also if that is earlier than its present end. `duration` is 10 ms
    /// to 24 h.
    ///
    /// `true`: all locks are held for `duration` from now, and longer if they are renewed automatically. `false`: a lock of
    /// the set is lost. Others may have been extended then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each extension may or may not be done. No lock is released.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] as for [`LockGuard::extend`]: no lease was changed. Its other errors too, the first of
    /// them in the order of names, if no lock is lost: other leases may have been extended.
    #[doc(alias = "ExtendAsync")]
    pub async fn extend(&self, duration: Duration) -> Result<bool, LockError> {
        self.guards.iter().try_for_each(|guard| guard.check_extension(duration))?;
        let mut begun = Vec::with_capacity(self.guards.len());
        self.backends
            .together(&mut || begun = self.guards.iter().map(|guard| guard.begin_extension(duration)).collect());
        let (mut all, mut failed) = (true, None);
        // All of them are on their way, so they may be awaited one after the other.
        for extension in begun {
            match extension.await {
                Ok(extended) => all &= extended,
                Err(error) => _ = failed.get_or_insert(error),
            }
        }
        match failed {
            Some(error) if all => Err(error),
            _ => Ok(all),
        }
    }

    /// Releases all locks, and waits for the backend's replies.
    ///
    /// [`Release::AlreadyLost`] means that at least one lock was lost before: the work under the set may have overlapped with
    /// that of another holder.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the releases continue in the background.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if the backend did not reply to a release, and no lock is known to have been lost. That
    /// release continues in the background until the backend has replied or the lease has ended.
    #[doc(alias = "ReleaseAsync")]
    pub async fn release(mut self) -> Result<Release, LockError> {
        self.begin_release().await
    }

    /// Begins the release of all locks.
    pub(crate) fn begin_release(&mut self) -> SetRelease {
        let mut release = SetRelease::new();
        let Self { guards, backends } = self;
        backends.together(&mut || guards.drain(..).for_each(|guard| release.begin(guard)));
        release
    }
}

impl Drop for LockSetGuard {
    fn drop(&mut self) {
        self.clear();
    }
}

impl fmt::Debug for LockSetGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockSetGuard").field(&self.guards).finish()
    }
}
