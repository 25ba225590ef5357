//! [`QueuePosition`]: where a caller waits.

use super::hash::NameHash;
use super::wait_queue::Ticket;
use crate::Resource;

/// A place in the queue for a name, or what became of it: the table says whether it is in the queue still, or the lock has
/// been granted to it (M2).
#[derive(Debug)]
pub(crate) struct QueuePosition {
    pub(crate) resource: Resource,
    pub(crate) hash: NameHash,
    pub(crate) ticket: Ticket,
}
