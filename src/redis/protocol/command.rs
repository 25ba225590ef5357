//! [`Command`]: one call of a script.

use std::time::Duration;

use crate::redis::token::Token;
use crate::redis::ttl_millis::TtlMillis;
use crate::{LockError, Resource};

/// One call of a script: what is to happen to one resource's lock, on behalf of one token.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Command {
    pub(in crate::redis) resource: Resource,
    pub(in crate::redis) token: Token,
    pub(in crate::redis) step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Step {
    /// Take the lock with this lease, or queue for it.
    Acquire { lease: Duration, joining: Joining },
    /// Let the lease begin anew. One that would end later stays.
    Renew { lease: Duration },
    /// Let exactly this lease begin, also if it ends earlier than the present one.
    Reset { lease: Duration },
    /// Look whether it is still ours.
    Check,
    /// Free it, or hand it on.
    Release,
    /// Take the acquire back, whatever became of it.
    Cancel,
    /// The same of a waiter whose entry in the queue is known, as it was when it last asked in this way. A long queue is
    /// searched for it in less time.
    Leave { lease: TtlMillis, deadline: u64, polls: bool },
}

/// What becomes of an acquire that finds the lock taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Joining {
    /// It has no place in the queue.
    No,
    /// It has, until the deadline of its entry, by the server's clock in milliseconds; `None` before there is one.
    Queue { deadline: Option<u64> },
    /// The same, and it asks again and again: notifications do not reach it.
    Poll { deadline: u64 },
}

/// Whether this client may use channels. Without them waiters ask again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Publishing {
    Allowed,
    Refused,
}

impl Command {
    /// Whether it is one that a holder waits for, or that frees a lock: those go before acquires.
    pub(in crate::redis) fn is_urgent(&self) -> bool {
        !matches!(self.step, Step::Acquire { .. })
    }
}

/// An answer that no script of this crate gives.
pub(super) fn unexpected(answer: &::redis::Value) -> LockError {
    // Never the answer itself: it is not known what is in it.
    let kind = match answer {
        ::redis::Value::Nil => "nothing",
        ::redis::Value::Int(_) => "another number",
        ::redis::Value::Array(_) => "another list",
        ::redis::Value::BulkString(_) | ::redis::Value::SimpleString(_) => "a text",
        _ => "something else",
    };
    LockError::backend(format!(
        "the server's answer is not the script's: it answered {kind}, where numbers are expected"
    ))
}
