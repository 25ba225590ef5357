//! [`Holder`]: the holder of a lock, as the table knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;

/// The lease of a lock's holder.
#[derive(Debug)]
pub(crate) enum Holder {
    /// Only its guard refers to it, and renews it by this TTL as long as the guard lives (M8).
    InProcess(Duration),
    /// Shared with handles or loss signals, or with an end of its own.
    Shared(Arc<SharedLease>),
    /// Granted to a waiter that has not claimed it yet, and may never do so. There is no guard, so nothing renews it,
    /// and it ends at this time.
    Unclaimed(Ticket, Instant),
}

impl Holder {
    /// Whether it is held at the time that `now` returns. `now` is called only for a lease that has an end.
    #[inline]
    pub(crate) fn is_held_at(&self, now: impl FnOnce() -> Instant) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Shared(lease) => lease.state.is_held_at(now),
            Self::Unclaimed(_, ends) => now() < *ends,
        }
    }

    /// When the lease ends unless it is renewed or extended. `None` if it does not end by itself.
    pub(crate) fn ends(&self) -> Option<Instant> {
        match self {
            Self::InProcess(_) => None,
            Self::Shared(lease) => lease.state.ends(),
            Self::Unclaimed(_, ends) => Some(*ends),
        }
    }

    /// Whether this is the same lease.
    pub(crate) fn is(&self, lease: &SharedLease) -> bool {
        match self {
            Self::Shared(holder) => std::ptr::eq(Arc::as_ptr(holder), lease),
            Self::InProcess(_) | Self::Unclaimed(..) => false,
        }
    }

    /// Whether the lock was granted to this waiter, which has not claimed it yet.
    pub(crate) fn is_unclaimed_by(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Unclaimed(of, _) if *of == ticket)
    }

    pub(crate) fn into_shared(self) -> Option<Arc<SharedLease>> {
        match self {
            Self::Shared(lease) => Some(lease),
            Self::InProcess(_) | Self::Unclaimed(..) => None,
        }
    }
}
