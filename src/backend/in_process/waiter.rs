//! [`Waiter`]: a caller in a queue, as the table stores it.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::LockMode;
use crate::backend::WaiterPermit;

/// A caller in a queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) mode: LockMode,
    /// How long a grant to this caller lasts until the caller has claimed it.
    pub(crate) unclaimed_lease: Duration,
    /// Whether its lease has an end after the claim too.
    pub(crate) has_end: bool,
    pub(crate) waker: Waker,
    /// Returned when the waiter is granted the lock or leaves.
    pub(crate) _permit: WaiterPermit,
}

impl Waiter {
    /// When a grant to this caller at this time ends unless the caller claims it.
    pub(super) fn unclaimed_until(&self, granted: Instant) -> Instant {
        // A lease ends within a day, and a clock does not.
        granted.checked_add(self.unclaimed_lease).unwrap_or(granted)
    }
}
