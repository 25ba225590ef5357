//! [`Waiter`]: a caller in a queue, as the table stores it.

use std::task::Waker;
use std::time::Duration;

use crate::backend::WaiterPermit;

/// A caller in a queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// How long a grant to this caller lasts until the caller has claimed it.
    pub(crate) unclaimed_lease: Duration,
    /// Whether its lease has an end after the claim too.
    pub(crate) has_end: bool,
    pub(crate) waker: Waker,
    /// Returned when the waiter is granted the lock or leaves.
    pub(crate) _permit: WaiterPermit,
}
