//! [`LockSetHandle`]: a view of several held locks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::{LockHandle, Lost};

/// A view of the locks of a [`LockSetGuard`](crate::LockSetGuard). It is cheap to clone, can be passed on, and cannot release
/// the locks.
///
/// After the guard's release [`is_held`](Self::is_held) is `false` and [`lost`](Self::lost) stays pending.
#[derive(Clone)]
pub struct LockSetHandle {
    /// Never empty.
    handles: Arc<[LockHandle]>,
}

impl LockSetHandle {
    pub(crate) fn new(handles: Arc<[LockHandle]>) -> Self {
        Self { handles }
    }

    /// A handle of each lock, in the byte order of their names.
    pub fn handles(&self) -> &[LockHandle] {
        &self.handles
    }

    /// The handle of the lock on `name`. `None` if the set does not have it.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&LockHandle> {
        let name = name.as_ref();
        let at = self.handles.binary_search_by(|handle| handle.resource().as_str().cmp(name)).ok()?;
        self.handles.get(at)
    }

    /// Whether all locks are held at present, by the monotonic clock. Once `false`, it stays `false`.
    pub fn is_held(&self) -> bool {
        self.handles.iter().all(LockHandle::is_held)
    }

    /// How long all leases still last: the least of them, and zero if one of the locks is not held.
    pub fn remaining(&self) -> Duration {
        self.handles.iter().map(LockHandle::remaining).min().unwrap_or_default()
    }

    /// Resolves when the first of the locks is lost. At once if one is lost already; never because of a release. See
    /// [`Lost`].
    pub fn lost(&self) -> Lost {
        Lost::of_any(self.handles.iter().map(LockHandle::lost))
    }
}

impl fmt::Debug for LockSetHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockSetHandle").field(&self.handles).finish()
    }
}
