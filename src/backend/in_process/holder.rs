//! [`Holder`]: who has a lock, as the table knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;

/// The lease of whoever has a lock.
#[derive(Debug)]
pub(crate) enum Holder {
    /// Known to its guard alone, which renews it by this TTL as long as it lives (M8).
    InProcess(Duration),
    /// Known to others too, or with an end of its own.
    Shared(Arc<SharedLease>),
    /// Granted to a waiter that has not come for it, and may never come. There is no guard, so nothing renews it, and it
    /// ends at this time.
    Untaken(Ticket, Instant),
}

impl Holder {
    /// Whether it is held at the time that `now` gives, which is asked only about a lease that has an end.
    #[inline]
    pub(crate) fn is_held_at(&self, now: impl FnOnce() -> Instant) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Shared(lease) => lease.state.is_held_at(now),
            Self::Untaken(_, ends) => now() < *ends,
        }
    }

    /// When the lease ends if nobody does anything, or `None` if it does not end by itself.
    pub(crate) fn ends(&self) -> Option<Instant> {
        match self {
            Self::InProcess(_) => None,
            Self::Shared(lease) => lease.state.ends(),
            Self::Untaken(_, ends) => Some(*ends),
        }
    }

    /// Whether this is that very lease.
    pub(crate) fn is(&self, lease: &SharedLease) -> bool {
        match self {
            Self::Shared(holder) => std::ptr::eq(Arc::as_ptr(holder), lease),
            Self::InProcess(_) | Self::Untaken(..) => false,
        }
    }

    /// Whether the lock has been granted to this waiter, and still waits for it.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Untaken(of, _) if *of == ticket)
    }

    pub(crate) fn into_shared(self) -> Option<Arc<SharedLease>> {
        match self {
            Self::Shared(lease) => Some(lease),
            Self::InProcess(_) | Self::Untaken(..) => None,
        }
    }
}
