//! [`GrantedLease`]: a lease that a backend has granted. Dropping it releases the lease.

use std::fmt;
use std::sync::Arc;

use super::in_process::InProcessLease;
use super::{Lease, Release, Releasing};
use crate::{FencingToken, LockMode, Resource, telemetry};

/// A lease that has just been granted, with the right to release it. A backend returns it from an acquire.
///
/// Dropping it releases the lease, so that a caller that was cancelled meanwhile leaves no lock behind.
/// A [`LockGuard`](crate::LockGuard) wraps it.
#[must_use = "the lease is released when this is dropped"]
pub struct GrantedLease(Kind);

enum Kind {
    /// A lease that a handle or a loss signal may share, or that may end by itself.
    Shared { lease: Arc<dyn Lease>, released: bool },
    /// A lease in this process, shared only when the first handle or loss signal needs it.
    #[cfg_attr(not(feature = "memory"), expect(dead_code, reason = "there is none then"))]
    InProcess(InProcessLease),
}

impl GrantedLease {
    /// A lease that a provider has granted.
    #[inline]
    pub fn new(lease: Arc<dyn Lease>) -> Self {
        Self(Kind::Shared { lease, released: false })
    }

    /// A lease that only its guard refers to.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn in_process(lease: InProcessLease) -> Self {
        Self(Kind::InProcess(lease))
    }

    /// Writes a lease that is not granted yet to the place of the result, where the grant is then written too. Never
    /// `None`.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn in_process_at(place: &mut super::Acquired, lease: InProcessLease) -> Option<&mut InProcessLease> {
        *place = Ok(Some(Self::in_process(lease)));
        match place {
            Ok(Some(Self(Kind::InProcess(lease)))) => Some(lease),
            _ => None,
        }
    }

    /// The resource that is locked.
    pub fn resource(&self) -> &Resource {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().resource(),
            Kind::InProcess(lease) => lease.resource(),
        }
    }

    /// The fencing token of this grant. See [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().fencing_token(),
            Kind::InProcess(lease) => lease.fencing_token(),
        }
    }

    /// Who may hold the lock at the same time.
    pub fn mode(&self) -> LockMode {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().mode(),
            // Locks in another mode are shared with the table from the start.
            Kind::InProcess(_) => LockMode::Exclusive,
        }
    }

    /// The number of the permit; `None` in other modes than [`LockMode::Permits`].
    pub fn permit(&self) -> Option<u32> {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().permit(),
            Kind::InProcess(_) => None,
        }
    }

    /// Whether the lock is held, by the clock.
    #[inline]
    pub fn is_held(&self) -> bool {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().is_held(),
            Kind::InProcess(lease) => lease.is_held(),
        }
    }

    /// The lease as handles and loss signals share it. Made at the first call.
    pub fn share(&self) -> Arc<dyn Lease> {
        match &self.0 {
            Kind::Shared { lease, .. } => Arc::clone(lease),
            Kind::InProcess(lease) => lease.share(),
        }
    }

    /// Releases the lease.
    pub fn release(mut self) -> Releasing {
        match self.release_at_once() {
            Some(release) => Releasing::ready(Ok(release)),
            None => self.release_later(),
        }
    }

    /// Releases the lease if that needs no waiting. `None`: call [`release_later`](Self::release_later) instead. To be
    /// called once.
    #[inline]
    pub(crate) fn release_at_once(&mut self) -> Option<Release> {
        let release = match &mut self.0 {
            Kind::Shared { lease, released } => {
                *released = true;
                lease.release_at_once()?
            }
            Kind::InProcess(lease) => lease.release(),
        };
        if release == Release::AlreadyLost {
            self.report_loss();
        }
        Some(release)
    }

    /// Begins the release, after [`release_at_once`](Self::release_at_once) has returned `None`.
    pub(crate) fn release_later(&self) -> Releasing {
        if !self.is_held() {
            self.report_loss();
        }
        match &self.0 {
            Kind::Shared { lease, .. } => Arc::clone(lease).release(),
            Kind::InProcess(lease) => lease.share().release(),
        }
    }

    #[cold]
    fn report_loss(&self) {
        let was_closed = match &self.0 {
            Kind::Shared { lease, .. } => lease.state().was_closed(),
            Kind::InProcess(lease) => lease.was_closed(),
        };
        let report = if was_closed { telemetry::closed } else { telemetry::lost };
        report(self.resource(), self.fencing_token());
    }
}

impl Drop for GrantedLease {
    fn drop(&mut self) {
        let is_due = match &self.0 {
            Kind::Shared { released, .. } => !released,
            Kind::InProcess(lease) => lease.is_due(),
        };
        if is_due && self.release_at_once().is_none() {
            // The provider continues the release when this future is dropped.
            drop(self.release_later());
        }
    }
}

impl<L: Lease> From<Arc<L>> for GrantedLease {
    fn from(lease: Arc<L>) -> Self {
        Self::new(lease)
    }
}

/// Shows no owner token, which a provider's lease may contain.
impl fmt::Debug for GrantedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedLease")
            .field("resource", self.resource())
            .field("fencing_token", &self.fencing_token().get())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
