//! [`PendingRequest`]: the one request to the server that all waiting callers of this process share.

use std::time::Duration;

use tokio::time::Instant;

use super::command::{Joining, OnServerFailure, Step, Unacknowledged};
use super::host::Epoch;
use super::owner_token::OwnerToken;
use super::reply::ServerTime;
use super::ttl_millis::TtlMillis;
use crate::LockOptions;
use crate::backend::PackedInstant;

/// How long the name is to stay taken, if that is longer than the lease.
pub(super) fn at_least(options: &LockOptions) -> Option<TtlMillis> {
    let at_least = options.configured_at_least();
    (at_least > options.configured_ttl()).then(|| at_least.into())
}

/// The lease that the server is asked for.
pub(super) fn lease(options: &LockOptions) -> TtlMillis {
    at_least(options).unwrap_or(options.configured_ttl().into())
}

/// How often the entry of a living waiter may be dropped from the server's wait queue before the waiter polls instead of
/// relying on notifications. A connection that broke just then costs one entry as well, but not more than one.
const MOST_DROPS: u8 = 2;

/// A lock that this process has asked the server for.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub(super) token: OwnerToken,
    /// The lease that its caller believes in.
    pub(super) ttl: TtlMillis,
    /// How long the name is to stay taken at least, if that is longer.
    pub(super) at_least: Option<TtlMillis>,
    pub(super) on_failure: OnServerFailure,
    /// When it was first sent.
    pub(super) begun: PackedInstant,
    pub(super) phase: Phase,
    /// The epoch in which it was last sent.
    pub(super) epoch: Epoch,
    /// The epoch in which the server was asked what it said last; before that, in which the request began.
    pub(super) heard_in: Epoch,
    /// Its place in the server's wait queue, once the server has said that the lock is held.
    pub(super) queued: Option<Queued>,
    /// What was left of the holder's lease then, if that has an end.
    pub(super) lease_left: Option<TtlMillis>,
    /// The contention notice ("others wait for your lock") arrived before the grant. It is applied when the grant arrives.
    pub(super) wanted: bool,
    /// A notification of a grant came while it was asked again, and could not be counted from. The reply may have been given
    /// before that grant: then it is asked once more.
    pub(super) notified: bool,
    /// One of its acquires is unacknowledged: it was sent again, and that is in doubt. It may run yet, also after this
    /// request has ended.
    pub(super) in_doubt: bool,
    /// How often it was polled without notifications, at growing intervals, or lost its entry in the queue while it lived.
    pub(super) polls: u8,
}

/// Whether an acquire is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Since this time.
    InFlight(PackedInstant),
    /// It is asked again at this time, if no notification comes before.
    Waiting(PackedInstant),
}

/// What the server last said of our place in its wait queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Queued {
    /// The deadline of our entry, in milliseconds by the server's clock.
    pub(super) deadline: u64,
    /// When it was asked, by our clock, and when it replied, by its own.
    pub(super) sent: PackedInstant,
    pub(super) at: ServerTime,
}

impl PendingRequest {
    /// A request that is sent for the first time, `now` at the earliest, in this epoch.
    pub(super) fn new(
        token: OwnerToken,
        options: &LockOptions,
        on_failure: OnServerFailure,
        now: Instant,
        epoch: Epoch,
    ) -> Self {
        let ttl = options.configured_ttl();
        Self {
            token,
            ttl: ttl.into(),
            at_least: at_least(options),
            on_failure,
            // Before it is sent: a lease that is counted from here ends early rather than late (R2).
            begun: now.into(),
            phase: Phase::InFlight(now.into()),
            epoch,
            heard_in: epoch,
            queued: None,
            lease_left: None,
            wanted: false,
            notified: false,
            in_doubt: false,
            polls: 0,
        }
    }

    /// Since when an acquire is in flight.
    pub(super) fn in_flight(&self) -> Option<PackedInstant> {
        match self.phase {
            Phase::InFlight(since) => Some(since),
            Phase::Waiting(_) => None,
        }
    }

    /// When it is asked again, if it is not in flight.
    pub(super) fn recheck_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::InFlight(_) => None,
            Phase::Waiting(until) => Some(until.instant()),
        }
    }

    /// Whether its callers are known to wait for a holder, rather than for the first reply.
    pub(super) fn is_waiting(&self) -> bool {
        self.queued.is_some() || self.on_failure == OnServerFailure::Retry
    }

    /// What of it is in doubt when it is cancelled.
    pub(super) fn unacknowledged(&self) -> Unacknowledged {
        if self.in_doubt { Unacknowledged::Several } else { Unacknowledged::None }
    }

    /// Counts an entry that was dropped while this process lived. `true` if notifications are not relied on from now on.
    pub(super) fn entry_was_dropped(&mut self) -> bool {
        self.polls = self.polls.saturating_add(1);
        self.polls == MOST_DROPS
    }

    /// The lease that is asked for.
    pub(super) fn lease(&self) -> TtlMillis {
        self.at_least.unwrap_or(self.ttl)
    }

    /// The step that asks for the first time.
    pub(super) fn first_acquire(&self, joining: Joining) -> Step {
        Step::Acquire { lease: self.lease().get(), joining, whole: self.at_least.is_some() }
    }

    /// The step that asks again.
    pub(super) fn acquire(&self) -> Step {
        let deadline = self.queued.map_or(0, |queued| queued.deadline);
        let joining =
            if self.is_unnotified() { Joining::Poll { deadline } } else { Joining::Queue { deadline: Some(deadline) } };
        self.first_acquire(joining)
    }

    /// The step that takes it out of the server's wait queue, or frees what it has been granted meanwhile.
    pub(super) fn cancellation(&self) -> Step {
        match self.queued {
            // An acquire in doubt may have written another entry.
            Some(Queued { deadline, .. }) if !self.in_doubt => Step::Leave {
                lease: self.lease(),
                whole: self.at_least.is_some(),
                deadline,
                polls: self.is_unnotified(),
            },
            _ => Step::Cancel { keep: None },
        }
    }

    /// Whether notifications do not reach it, though this process may subscribe. The processes that release publish them
    /// under the name of another inbox, because their providers' prefix begins with ours, or ours with theirs.
    pub(super) fn is_unnotified(&self) -> bool {
        self.polls >= MOST_DROPS
    }

    /// The next interval between two polls.
    pub(super) fn next_poll(&mut self) -> Duration {
        const FIRST: Duration = Duration::from_millis(10);
        const LONGEST: Duration = Duration::from_millis(400);
        let interval = FIRST.saturating_mul(1 << self.polls.min(16)).min(LONGEST);
        self.polls = self.polls.saturating_add(1);
        interval
    }
}
