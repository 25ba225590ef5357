//! [`Holder`]: who has a lock, as the table knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::MemoryLease;
use super::queue::Ticket;

/// The lease of whoever has a lock.
#[derive(Debug)]
pub(super) enum Holder {
    /// Known to its guard alone, which renews it by this TTL as long as it lives (M8).
    Sole(Duration),
    /// Known to others too, or with an end of its own.
    Shared(Arc<MemoryLease>),
    /// Granted to a waiter that has not come for it, and may never come. There is no guard, so nothing renews it: it ends
    /// so long after anybody else has asked for it, which nearly always nobody does in time.
    Untaken(Ticket, Lasts),
    /// The same, asked for, or with an end in any case: it ends at this time.
    Expiring(Ticket, Instant),
}

/// The length of a lease, a day at most. In eight bytes, so that a [`Holder`] takes no more than with a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lasts(u64);

impl From<Duration> for Lasts {
    #[inline]
    fn from(lease: Duration) -> Self {
        Self(lease.as_secs().saturating_mul(1_000_000_000).saturating_add(lease.subsec_nanos().into()))
    }
}

impl Lasts {
    pub(super) fn get(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The end of one that begins now.
    pub(super) fn until(self, now: Instant) -> Instant {
        // A lease ends within a day, and a clock does not.
        now.checked_add(self.get()).unwrap_or(now)
    }
}

impl Holder {
    /// Whether it is held at the time that `now` gives, which is asked only about a lease that has an end.
    #[inline]
    pub(super) fn is_held_at(&self, now: impl FnOnce() -> Instant) -> bool {
        match self {
            Self::Sole(_) | Self::Untaken(..) => true,
            Self::Shared(lease) => lease.state.is_held_at(now),
            Self::Expiring(_, ends) => now() < *ends,
        }
    }

    /// Somebody else asks for the lock: a grant that nobody has come for has an end from now on.
    pub(super) fn asked_for(&mut self, now: impl FnOnce() -> Instant) {
        if let Self::Untaken(of, lasts) = self {
            *self = Self::Expiring(*of, lasts.until(now()));
        }
    }

    /// When the lease ends if nobody does anything, or `None` if it does not end by itself.
    pub(super) fn ends(&self) -> Option<Instant> {
        match self {
            Self::Sole(_) | Self::Untaken(..) => None,
            Self::Shared(lease) => lease.state.ends(),
            Self::Expiring(_, ends) => Some(*ends),
        }
    }

    /// Whether this is that very lease.
    pub(super) fn is(&self, lease: &MemoryLease) -> bool {
        match self {
            Self::Shared(holder) => std::ptr::eq(Arc::as_ptr(holder), lease),
            Self::Sole(_) | Self::Untaken(..) | Self::Expiring(..) => false,
        }
    }

    /// Whether the lock has been granted to this waiter, and still waits for it.
    pub(super) fn awaits(&self, ticket: Ticket) -> bool {
        matches!(self, Self::Untaken(of, _) | Self::Expiring(of, _) if *of == ticket)
    }

    pub(super) fn into_shared(self) -> Option<Arc<MemoryLease>> {
        match self {
            Self::Shared(lease) => Some(lease),
            Self::Sole(_) | Self::Untaken(..) | Self::Expiring(..) => None,
        }
    }
}
