//! [`LockHandle`]: a view of a held lock.

#[cfg(feature = "http")]
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http")]
use crate::backend::BackendId;
use crate::backend::Lease;
use crate::{FencingToken, LockMode, Lost, Resource};

/// A view of a held lock. It is cheap to clone, can be passed on, and cannot release the lock.
///
/// After the guard's release [`is_held`](Self::is_held) is `false` and [`lost`](Self::lost) stays pending.
#[derive(Clone)]
pub struct LockHandle {
    lease: Arc<dyn Lease>,
    /// A value that is kept alive by the handle and its clones.
    #[cfg(feature = "http")]
    _attached: Option<Arc<dyn Any + Send + Sync>>,
}

impl LockHandle {
    pub(super) fn new(lease: Arc<dyn Lease>) -> Self {
        Self {
            lease,
            #[cfg(feature = "http")]
            _attached: None,
        }
    }

    /// The same handle, which also keeps `kept` alive.
    #[cfg(feature = "http")]
    pub(crate) fn keeping(self, kept: Arc<dyn Any + Send + Sync>) -> Self {
        Self { _attached: Some(kept), ..self }
    }

    /// The resource that is locked.
    pub fn resource(&self) -> &Resource {
        self.lease.state().resource()
    }

    /// The number by which a store can refuse a late write of an earlier holder. See [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        self.lease.state().fencing_token()
    }

    /// Who may hold the lock at the same time.
    pub fn mode(&self) -> LockMode {
        self.lease.state().mode()
    }

    /// The number of the permit, as [`LockGuard::permit`](crate::LockGuard::permit).
    pub fn permit(&self) -> Option<u32> {
        self.lease.state().permit()
    }

    /// Whether the lock is held at present, by the monotonic clock. Once `false`, it stays `false`.
    pub fn is_held(&self) -> bool {
        self.lease.state().is_held()
    }

    /// How long the lease still lasts; zero if the lock is not held.
    pub fn remaining(&self) -> Duration {
        self.lease.state().remaining()
    }

    /// Resolves when the lock is lost. At once if it is lost already; never because of a release. See [`Lost`].
    pub fn lost(&self) -> Lost {
        Lost::new(Arc::clone(&self.lease))
    }

    /// The id of the backend that granted the lease, if its provider tells.
    #[cfg(feature = "http")]
    pub(super) fn granted_by(&self) -> Option<BackendId> {
        self.lease.granted_by()
    }
}

impl fmt::Debug for LockHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lease.state();
        describe("LockHandle", state.resource(), state.fencing_token(), state.is_held(), f)
    }
}

/// The `Debug` output of guards and handles. It shows no owner token, which a provider's lease may contain.
pub(super) fn describe(
    name: &str,
    resource: &Resource,
    fence: FencingToken,
    is_held: bool,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.debug_struct(name)
        .field("resource", resource)
        .field("fencing_token", &fence.get())
        .field("is_held", &is_held)
        .finish_non_exhaustive()
}
