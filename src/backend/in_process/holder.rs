//! [`Holder`]: one holder of a lock, as the table knows it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;

/// The lease of one holder.
#[derive(Debug)]
pub(crate) enum Holder {
    /// Only its guard refers to it, and renews it by this TTL as long as the guard lives (M8).
    InProcess(Duration),
    /// Shared with handles or loss signals, with an end of its own, or in another mode than exclusive.
    Shared(Arc<SharedLease>),
    /// Granted to a waiter that has not claimed it yet, and may never do so. There is no guard, so nothing renews it,
    /// and it ends at this time.
    Unclaimed(Ticket, Instant),
    /// Released before its least time was over. The lock stays taken until then, and there is no guard.
    Kept(Instant),
}

impl Holder {
    /// Whether it is held at the time that `now` returns. `now` is called only for a lease that has an end.
    #[inline]
    pub(crate) fn is_held_at(&self, now: impl FnOnce() -> Instant) -> bool {
        match self {
            Self::InProcess(_) => true,
            Self::Shared(lease) => lease.state.is_held_at(now),
            Self::Unclaimed(_, ends) | Self::Kept(ends) => now() < *ends,
        }
    }

    /// When the lease ends unless it is renewed or extended. `None` if it does not end by itself.
    pub(crate) fn ends(&self) -> Option<Instant> {
        match self {
            Self::InProcess(_) => None,
            Self::Shared(lease) => lease.state.ends(),
            Self::Unclaimed(_, ends) | Self::Kept(ends) => Some(*ends),
        }
    }

    /// How long it still lasts at this time. A lease that renews itself lasts until the end that it shows.
    pub(crate) fn remaining(&self, now: Instant) -> Duration {
        match self {
            Self::Shared(lease) => lease.state.remaining(),
            _ => self.ends().map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now)),
        }
    }

    /// Whether this is the same lease.
    pub(crate) fn is(&self, lease: &SharedLease) -> bool {
        match self {
            Self::Shared(holder) => std::ptr::eq(Arc::as_ptr(holder), lease),
            Self::InProcess(_) | Self::Unclaimed(..) | Self::Kept(_) => false,
        }
    }

    /// Whether there is a guard, or a waiter that may make one of it.
    pub(crate) fn is_guarded(&self) -> bool {
        !matches!(self, Self::Kept(_))
    }

    pub(crate) fn into_shared(self) -> Option<Arc<SharedLease>> {
        match self {
            Self::Shared(lease) => Some(lease),
            Self::InProcess(_) | Self::Unclaimed(..) | Self::Kept(_) => None,
        }
    }
}
