//! [`Caller`]: the side that makes calls, and [`Reply`]: what it learns about each of them.

use std::sync::Arc;

use ::redis::Value;
use tokio::time::Instant;

use super::call::Call;
use crate::LockError;

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

    /// A notification came to this process's inbox.
    fn notified(self: &Arc<Self>, message: &str);

    /// There is a connection again, after there was one before. While there was none, locks may have expired and
    /// notifications may have been lost.
    fn reconnected(self: &Arc<Self>);

    /// The supervisor has ended with its runtime, so that another runtime has to
    /// [drive the connection](super::Connection::ensure_driven). Returns whether another one will: then the queue is kept
    /// for it, and otherwise every call in it fails.
    fn supervisor_ended(self: &Arc<Self>, exit: SupervisorExit) -> bool;
}

/// How a supervisor ended that was not retired.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct SupervisorExit {
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
