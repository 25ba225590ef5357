//! [`GrantedLease`]: a lease that a backend has granted, and that is released when this is dropped.

use std::fmt;
use std::sync::Arc;

use super::in_process::InProcessLease;
use super::{Lease, Release, Releasing};
use crate::{FencingToken, Resource, telemetry};

/// A lease that has just been granted, with the right to release it: what a backend answers an acquire with.
///
/// Dropping it releases the lease, so that a lock is never left behind by a caller who has gone meanwhile.
/// [`LockGuard`](crate::LockGuard) is made of it.
#[must_use = "the lease is released when this is dropped"]
pub struct GrantedLease(Kind);

enum Kind {
    /// A lease that others may know, or that may end by itself.
    Shared { lease: Arc<dyn Lease>, released: bool },
    /// One that is shared only when a handle or a loss signal needs it.
    #[cfg_attr(not(feature = "memory"), expect(dead_code, reason = "there is none then"))]
    InProcess(InProcessLease),
}

impl GrantedLease {
    /// A lease that was granted by a provider's own means.
    #[inline]
    pub fn new(lease: Arc<dyn Lease>) -> Self {
        Self(Kind::Shared { lease, released: false })
    }

    /// A lease that nothing but its guard knows yet.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn in_process(lease: InProcessLease) -> Self {
        Self(Kind::InProcess(lease))
    }

    /// The same for one that is not granted yet, in the place of the answer, for the grant to be written there too. Never
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

    /// What is locked.
    pub fn resource(&self) -> &Resource {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().resource(),
            Kind::InProcess(lease) => lease.resource(),
        }
    }

    /// The number of the grant. See [`FencingToken`].
    pub fn fencing_token(&self) -> FencingToken {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().fencing_token(),
            Kind::InProcess(lease) => lease.fencing_token(),
        }
    }

    /// Whether the lease lasts still, by the clock.
    #[inline]
    pub fn is_held(&self) -> bool {
        match &self.0 {
            Kind::Shared { lease, .. } => lease.state().is_held(),
            Kind::InProcess(lease) => lease.is_held(),
        }
    }

    /// The lease as handles and loss signals see it, made for the first of them.
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

    /// Releases the lease, once, if that needs no waiting. Otherwise it is to be [released later](Self::release_later).
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
            self.tell_of_loss();
        }
        Some(release)
    }

    pub(crate) fn release_later(&self) -> Releasing {
        if !self.is_held() {
            self.tell_of_loss();
        }
        match &self.0 {
            Kind::Shared { lease, .. } => Arc::clone(lease).release(),
            Kind::InProcess(lease) => lease.share().release(),
        }
    }

    #[cold]
    fn tell_of_loss(&self) {
        let closed = match &self.0 {
            Kind::Shared { lease, .. } => lease.state().was_closed(),
            Kind::InProcess(lease) => lease.was_closed(),
        };
        let tell = if closed { telemetry::closed } else { telemetry::lost };
        tell(self.resource(), self.fencing_token());
    }
}

impl Drop for GrantedLease {
    fn drop(&mut self) {
        let is_due = match &self.0 {
            Kind::Shared { released, .. } => !released,
            Kind::InProcess(lease) => lease.is_due(),
        };
        if is_due && self.release_at_once().is_none() {
            // The provider goes on with the release when its future is dropped.
            drop(self.release_later());
        }
    }
}

impl<L: Lease> From<Arc<L>> for GrantedLease {
    fn from(lease: Arc<L>) -> Self {
        Self::new(lease)
    }
}

/// Never the owner's secret, which a provider's lease may have.
impl fmt::Debug for GrantedLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantedLease")
            .field("resource", self.resource())
            .field("fencing_token", &self.fencing_token().get())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}
