//! [`Condition`]: whether the server can be reached, as far as is known.

use std::sync::atomic::Ordering::SeqCst;

use super::shared::Shared;
use super::{Caller, Failure, ServerFacts};
use crate::LockError;
use crate::redis::protocol::Publishing;

/// The condition of the connection.
#[derive(Debug, Clone)]
pub(in crate::redis) enum Condition {
    /// Not needed yet, or being made for the first time.
    Starting,
    Up {
        publishing: Publishing,
    },
    /// It broke just now, and the next one is being made: calls wait for that one.
    Broken(Failure),
    /// It broke not long ago, and attempts to connect have failed since. Another server may be about to take its place, so
    /// that calls wait.
    Interrupted(Failure),
    /// The server is out of reach: there never was a connection, or has been none for long.
    Down(Failure),
}

impl Condition {
    /// Whether it begins or ends the time in which a connection is replaced that was closed, or whose server was not the
    /// right one. A silent connection is not among those.
    pub(super) fn is_change(&self) -> bool {
        match self {
            Self::Broken(failure) => failure.is_closed() || failure.is_not_here(),
            Self::Up { .. } => true,
            Self::Starting | Self::Interrupted(_) | Self::Down(_) => false,
        }
    }
}

impl<C: Caller> Shared<C> {
    /// The condition of the connection.
    pub(in crate::redis) fn condition(&self) -> Condition {
        self.condition.lock().clone()
    }

    /// Whether the server is known to refuse this client's notifications.
    pub(in crate::redis) fn is_publishing_refused(&self) -> bool {
        matches!(&*self.condition.lock(), Condition::Up { publishing: Publishing::Refused })
    }

    /// What the server said of itself when the latest connection was made.
    pub(in crate::redis) fn facts(&self) -> ServerFacts {
        self.facts.lock().clone()
    }

    /// Why a call would fail at once, if it would: the server is out of reach.
    pub(in crate::redis) fn unreachable_error(&self) -> Option<LockError> {
        match &*self.condition.lock() {
            Condition::Down(failure) if !failure.is_not_here() => Some(failure.to_error()),
            _ => None,
        }
    }

    /// Whether a call is likely to be run soon: there is a connection, or one is being made that has not failed.
    pub(in crate::redis) fn is_within_reach(&self) -> bool {
        match &*self.condition.lock() {
            Condition::Starting | Condition::Up { .. } | Condition::Broken(_) => true,
            Condition::Interrupted(failure) | Condition::Down(failure) => failure.is_not_here(),
        }
    }

    /// Why there is no connection at this moment, if there was one or an attempt failed. As long as there is none the
    /// latest reply of the server may be an old one.
    pub(in crate::redis) fn disconnected_error(&self) -> Option<LockError> {
        match &*self.condition.lock() {
            Condition::Broken(failure) | Condition::Interrupted(failure) | Condition::Down(failure) => {
                Some(failure.to_error())
            }
            Condition::Starting | Condition::Up { .. } => None,
        }
    }

    /// How often a connection was closed, or its server not the right one, and how often another was made.
    pub(in crate::redis) fn changes(&self) -> usize {
        self.changes.load(SeqCst)
    }

    /// Whether a connection that was closed, or whose server was not the right one, is being replaced, or was replaced since
    /// [`changes`](Self::changes) returned this number. Then the replacement may have delayed a caller's reply.
    pub(in crate::redis) fn has_changed_since(&self, changes: usize) -> bool {
        let condition = self.condition.lock();
        match &*condition {
            Condition::Broken(_) => condition.is_change(),
            Condition::Interrupted(failure) => !failure.is_silent(),
            Condition::Down(failure) => failure.is_not_here(),
            Condition::Starting | Condition::Up { .. } => self.changes() != changes,
        }
    }
}
