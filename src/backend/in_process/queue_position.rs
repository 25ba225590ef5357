//! [`QueuePosition`]: the position of a waiting caller.

use super::hash::NameHash;
use super::wait_queue::Ticket;
use crate::Resource;

/// The position of a caller in a wait queue. The table tells whether the caller is still in the queue, was granted the
/// lock, or neither (M2).
#[derive(Debug)]
pub(crate) struct QueuePosition {
    pub(crate) resource: Resource,
    pub(crate) hash: NameHash,
    pub(crate) ticket: Ticket,
}
