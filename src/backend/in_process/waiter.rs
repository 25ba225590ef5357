//! [`Waiter`]: a caller in a queue, as the table knows it.

use std::task::Waker;
use std::time::Duration;

use crate::backend::WaiterPermit;

/// A caller in a queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// For how long a grant is the caller's before it has come for it.
    pub(crate) lasts: Duration,
    /// Whether its lease has an end after that too.
    pub(crate) has_end: bool,
    pub(crate) waker: Waker,
    /// Given back with the place, however that ends.
    pub(crate) _seat: WaiterPermit,
}
