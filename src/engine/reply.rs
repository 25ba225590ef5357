//! [`Reply`]: what became of a call.

use std::time::Duration;

use tokio::time::Instant;

use crate::LockError;

/// What became of a call whose result is a `T`.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// It ran. The server began with it after `sent`.
    Done { result: T, sent: Instant },
    /// The server replied with an error.
    Refused(Refusal),
    /// A reply that does not follow the protocol: what the server did is not known.
    Garbled(LockError),
    /// It has not run, and never will.
    NotSent(LockError),
    /// It is in doubt: it may have run, or may run yet. `was_cut`: the connection was closed before the reply.
    Indeterminate { error: LockError, was_cut: bool },
}

/// An error of the server.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: LockError,
    /// The server is likely to accept the same call a little later: it loads its data, is busy, or is not a master now.
    pub(crate) is_passing: bool,
    /// The server refused the call before it began with it, so that nothing was changed.
    pub(crate) has_not_run: bool,
}

/// The result of an acquire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acquired {
    /// The lock is ours, with this number. `permit`: which of the permits, if the token is one for a permit.
    Granted { fence: u64, others_wait: bool, permit: Option<u32> },
    /// Another owner holds the lock, and we are in the server's wait queue. `dropped`: with a new entry, since the one
    /// before had been taken for that of a dead process.
    Queued { lease_left: Option<Duration>, at: ServerTime, deadline: u64, dropped: bool },
    /// Another owner holds the lock, and we are not in the wait queue.
    Busy,
    /// The wait queue had more entries of dead processes than one call drops, and we are not in it. To be asked again.
    Unfinished,
}

/// A time by the server's clock, in microseconds since 1970. Only differences mean anything: that clock is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServerTime(pub(crate) u64);

impl ServerTime {
    /// How long after `earlier` this was; zero if the clock went back in between.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// What a cancellation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CancelReply {
    Nothing,
    Found,
}
