//! [`Event`]: what can happen to a lock.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::command::{Attempt, Extension, Step};
use super::host::Host;
use super::owner_token::OwnerToken;
use super::reply::{Acquired, Reply, ServerTime};
use super::ttl_millis::TtlMillis;
use crate::LockError;
use crate::backend::{Release, WaiterAdmission};

/// What happens to a lock: in this process, on the server, or because time has passed.
pub(crate) enum Event<'a, H: Host> {
    /// A caller wants the lock and is ready to wait. It is told its ticket, by which it leaves.
    Join {
        waiter: &'a H::Waiter,
        admission: WaiterAdmission,
        ticket: &'a mut Option<u64>,
    },
    /// A caller wants the lock at once or not at all.
    TryNow {
        waiter: &'a H::Waiter,
    },
    /// A waiting caller goes away.
    Leave {
        ticket: u64,
    },
    /// A caller's time has been up since `until`. It leaves, unless it is to look `again` at a later time.
    TimeIsUp {
        ticket: u64,
        waiter: &'a H::Waiter,
        until: Instant,
        again: &'a mut Option<Instant>,
    },
    /// A guard is done with its lease.
    Release {
        lease: &'a H::Lease,
        answer: &'a mut ReleaseAnswer,
    },
    /// A guard wants another end of its lease.
    Extend {
        lease: &'a H::Lease,
        duration: Duration,
        answer: &'a mut ExtendAnswer,
    },
    /// The provider closes.
    Close,

    /// The server's reply to the request of this process, or the lack of it.
    AcquireReply {
        token: OwnerToken,
        step: Step,
        reply: Reply<Acquired>,
    },
    /// The same to a caller who does not wait.
    AttemptReply {
        token: OwnerToken,
        attempt: Attempt,
        waiter: H::Waiter,
        reply: Reply<Acquired>,
    },
    /// Replies to an owner: `None` if the lock is not ours, else whether others wait.
    HandoverReply {
        token: OwnerToken,
        lease: Duration,
        floor: Option<TtlMillis>,
        permit: Option<u32>,
        reply: Reply<Option<bool>>,
    },
    RenewReply {
        token: OwnerToken,
        lease: Duration,
        reply: Reply<Option<bool>>,
    },
    CheckReply {
        token: OwnerToken,
        reply: Reply<Option<bool>>,
    },
    ExtendReply {
        token: OwnerToken,
        extension: Box<Extension<H>>,
        reply: Reply<Option<bool>>,
    },

    /// A notification: the lock was handed to this process.
    Granted(Grant),
    /// A notification: other processes wait for the lock that we own under this token.
    Wanted(OwnerToken),
    /// There is a new connection: what was believed may have changed, and notifications may have been lost.
    Reconnected,
    /// The [deadline](super::Lock::deadline) has come.
    DeadlineReached,
}

/// A lock that was handed to this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) token: OwnerToken,
    pub(crate) fence: u64,
    /// When it was granted.
    pub(crate) at: ServerTime,
    /// Others stand in the server's wait queue behind us.
    pub(crate) others_wait: bool,
    /// Which of the permits it is, if the token is one for a permit.
    pub(crate) permit: Option<u32>,
}

/// What a release comes to.
#[derive(Debug)]
pub(crate) enum ReleaseAnswer {
    /// Known at once, without a word to the server.
    Known(Release),
    /// The server has been asked.
    Asked(oneshot::Receiver<Result<Release, LockError>>),
}

impl Default for ReleaseAnswer {
    /// That of a lock that is not ours.
    fn default() -> Self {
        Self::Known(Release::AlreadyLost)
    }
}

/// What an extension comes to.
#[derive(Debug, Default)]
pub(crate) enum ExtendAnswer {
    /// The lock is not ours any more, and nothing was changed.
    #[default]
    Lost,
    /// The server has been asked, or will be.
    Asked(oneshot::Receiver<Result<bool, LockError>>),
}
