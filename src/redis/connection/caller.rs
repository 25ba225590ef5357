//! [`Caller`]: the side that makes calls, and [`Reply`]: what it learns about each of them.

use std::sync::Arc;

use ::redis::Value;
use tokio::time::Instant;

use super::RuntimeNumber;
use super::call::Call;
use crate::LockError;
use crate::redis::connection_string::Server;
use crate::redis::discovery::cluster::SlotMap;

/// The side that makes calls and gets the replies.
pub(in crate::redis) trait Caller: Send + Sync + 'static {
    /// What a call was made for.
    type CallKind: Send + 'static;

    /// A call has its reply. Runs in the supervisor's task, and must not block.
    ///
    /// A call that was not sent must not be enqueued again from here, since it would fail at once again.
    fn answered(self: &Arc<Self>, call: Call<Self::CallKind>, reply: Reply);

    /// Every call has its reply.
    fn drained(&self);

    /// A notification came to this process's inbox, over the connection to this node.
    fn notified(self: &Arc<Self>, node: Node, message: &str);

    /// There is a connection to this node again, after there was one before. While there was none, locks may have expired
    /// and notifications may have been lost.
    fn reconnected(self: &Arc<Self>, node: Node);

    /// Another node of the cluster is to run these calls, or this one a little later. They have not run, or in part if
    /// they were stopped.
    fn redirected(self: &Arc<Self>, calls: Vec<(Call<Self::CallKind>, Redirect)>);

    /// Which node of the cluster serves which slots. Returns whether one of them cannot be reached.
    fn mapped(self: &Arc<Self>, map: SlotMap) -> bool;

    /// The nodes are to be asked which of them serves which slots: one of them cannot be reached.
    fn lost_node(self: &Arc<Self>);

    /// The supervisor has ended with its runtime, so that another runtime has to
    /// [drive the connection](super::Connection::ensure_driven). Returns whether another one will: then the queue is kept
    /// for it, and otherwise every call in it fails.
    fn supervisor_ended(self: &Arc<Self>, exit: SupervisorExit) -> bool;
}

/// The number of a connection of this process. In a cluster there is one for each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::redis) struct Node(pub(in crate::redis) u32);

/// What a node of a cluster says of a call that it has not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Redirect {
    /// The node at this address serves the slot.
    Moved { slot: u16, server: Server },
    /// The slot is being moved, or no node serves it at this moment.
    Later,
}

/// How a supervisor ended that was not retired.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct SupervisorExit {
    /// Of which connection it was.
    pub(in crate::redis) node: Node,
    /// The runtime that is ending.
    pub(in crate::redis) runtime: RuntimeNumber,
    /// See [`is_within_reach`](super::shared::Shared::is_within_reach).
    pub(in crate::redis) within_reach: bool,
    /// The present thread is about to end a runtime, and may be blocked.
    pub(in crate::redis) may_block: bool,
}

/// What became of a call.
#[derive(Debug)]
pub(in crate::redis) enum Reply {
    /// The server ran it. It began after `sent`, and so did every lease that it began.
    Answered { answer: Value, sent: Instant },
    /// The server replied with an error.
    Refused(LockError),
    /// It has not run, and never will (K3).
    NotSent(LockError),
    /// In doubt: it may have run, or may still run.
    Indeterminate { error: LockError },
}
