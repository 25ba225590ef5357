//! [`Call`]: what the server is asked to do with one lock.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::host::{Epoch, Host};
use super::owner_token::OwnerToken;
use super::ttl_millis::TtlMillis;
use super::wait_queue::Arrival;
use crate::backend::Release;
use crate::{LockError, Resource};

/// A command for the server, and what its reply is for.
#[derive(Debug)]
pub(crate) struct Call<H: Host> {
    pub(crate) token: OwnerToken,
    pub(crate) step: Step,
    pub(crate) kind: CallKind<H>,
}

/// One step of the protocol: what is to happen to one resource's lock, on behalf of one owner token.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) resource: Resource,
    pub(crate) token: OwnerToken,
    pub(crate) step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take the lock with this lease, or join the server's wait queue.
    /// With `whole`, a grant by notification lasts for all of it at once, and not for a claim lease.
    Acquire { lease: Duration, joining: Joining, whole: bool },
    /// Let the lease begin anew. A lease that ends later stays.
    Renew { lease: Duration },
    /// Let exactly this lease begin, also if it ends earlier than the present one. On the server it lasts for the floor at
    /// least: for the time for which the name stays taken whatever becomes of its holder.
    Reset { lease: Duration, floor: Option<TtlMillis> },
    /// Say whether the lock is still ours.
    Check,
    /// Free the lock, or hand it on. With `keep` it stays taken for so long, without a holder.
    Release { keep: Option<TtlMillis> },
    /// Cancel an acquire in any state. `keep` is that of the release for which this stands in, and means nothing if the
    /// acquire was not granted.
    Cancel { keep: Option<TtlMillis> },
    /// Cancel an acquire whose entry in the wait queue is known exactly. The server finds it faster in a long queue.
    Leave { lease: TtlMillis, whole: bool, deadline: u64, polls: bool },
}

impl Step {
    /// Until when it leaves the name taken, if it is sent now.
    pub(crate) fn kept_until(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Release { keep } | Self::Cancel { keep } => keep.map(|keep| now + keep.get()),
            _ => None,
        }
    }
}

/// What becomes of an acquire that finds the lock held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Joining {
    /// It does not join the wait queue.
    No,
    /// It joins, until the deadline of its entry, in milliseconds by the server's clock. `None` before it has an entry.
    Queue { deadline: Option<u64> },
    /// It joins, and asks again and again: notifications do not reach it.
    Poll { deadline: u64 },
}

/// What the reply to a call is for.
#[derive(Debug)]
pub(crate) enum CallKind<H: Host> {
    /// The request that the waiting callers of this process share.
    Acquire,
    /// One caller who does not wait.
    Attempt(Attempt, H::Waiter),
    /// A lease for the next local holder, of the permit with this number.
    LocalHandover { permit: Option<u32> },
    /// A renewal: a third of the lease is over.
    Renew,
    /// Whether a lock is still ours after a connection broke.
    Check,
    /// A guard wants another end of its lease.
    Extend(Box<Extension<H>>),
    /// A guard releases, and waits for the result.
    Release(oneshot::Sender<Result<Release, LockError>>),
    /// No caller holds the lock any more, and none waits for the result.
    LetGo,
    /// A cancellation (R4) of an acquire of this lease.
    Cancel { lease: TtlMillis, unacknowledged: Unacknowledged },
    /// The same, sent again.
    CancelAgain,
}

/// An attempt of a caller who does not wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(super) arrival: Arrival,
    /// The epoch in which it was last sent.
    pub(super) epoch: Epoch,
    /// It was granted before, in another epoch.
    pub(super) granted_before: bool,
    /// The connection was closed before the first reply, and it was sent anew under another token.
    pub(super) sent_anew: bool,
}

/// An extension that a guard has asked for. Large, and seldom among calls that are queued by the thousand.
#[derive(Debug)]
pub(crate) struct Extension<H: Host> {
    pub(super) lease: H::Lease,
    pub(super) duration: Duration,
    pub(crate) answer: oneshot::Sender<Result<bool, LockError>>,
}

/// What becomes of a request that the server does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnServerFailure {
    /// Its callers fail: the server has never said that another owner holds the lock.
    Fail,
    /// The same, and it has been sent anew once, because the connection was closed before the reply.
    FailAnew,
    /// It is sent again. Its callers wait already; until now for a holder of this process.
    Retry,
}

/// How many acquires of an owner token may run yet, over a connection that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unacknowledged {
    None,
    /// The only one that there was. It may run yet, so that "not found" is inconclusive.
    One,
    /// One of several. It may run yet, so that "found" is inconclusive too: that may have been another.
    Several,
}

impl Command {
    /// Whether a holder waits for it, or it frees a lock. Such commands are sent before acquires.
    pub(crate) fn is_urgent(&self) -> bool {
        !matches!(self.step, Step::Acquire { .. })
    }
}
