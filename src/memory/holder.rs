//! [`Holder`]: who has a lock, as the table knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::MemoryLease;

/// The lease of whoever has a lock.
#[derive(Debug)]
pub(super) enum Holder {
    /// Known to its guard alone, which renews it by this TTL as long as it lives (M8).
    Sole(Duration),
    /// Known to others too, or with an end of its own.
    Shared(Arc<MemoryLease>),
}

impl Holder {
    #[inline]
    pub(super) fn is_held(&self) -> bool {
        match self {
            Self::Sole(_) => true,
            Self::Shared(lease) => lease.state.is_held(),
        }
    }

    pub(super) fn is_held_at(&self, now: Instant) -> bool {
        match self {
            Self::Sole(_) => true,
            Self::Shared(lease) => lease.state.is_held_at(now),
        }
    }

    /// When the lease ends if nobody does anything, or `None` if it does not end by itself.
    pub(super) fn ends(&self) -> Option<Instant> {
        match self {
            Self::Sole(_) => None,
            Self::Shared(lease) => lease.state.ends(),
        }
    }

    /// Whether this is that very lease.
    pub(super) fn is(&self, lease: &MemoryLease) -> bool {
        match self {
            Self::Sole(_) => false,
            Self::Shared(holder) => std::ptr::eq(Arc::as_ptr(holder), lease),
        }
    }

    pub(super) fn into_shared(self) -> Option<Arc<MemoryLease>> {
        match self {
            Self::Sole(_) => None,
            Self::Shared(lease) => Some(lease),
        }
    }
}
