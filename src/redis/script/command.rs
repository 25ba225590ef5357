//! [`Command`]: one call of a script.

use std::time::Duration;

use super::{ACQUIRE, RELEASE, RENEW, Script, UNDO};
use crate::redis::keys::Keys;
use crate::redis::token::Token;
use crate::{LockError, Resource};

/// One call of a script: what is to happen to one resource's lock, on behalf of one token.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Command {
    pub(in crate::redis) resource: Resource,
    pub(in crate::redis) token: Token,
    pub(in crate::redis) step: Step,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::redis) enum Step {
    /// Take the lock with this lease, or queue for it.
    Acquire { lease: Duration, joining: Joining },
    /// Let the lease begin anew. One that would end later stays.
    Renew { lease: Duration },
    /// Let exactly this lease begin, also if it ends earlier than the present one.
    Reset { lease: Duration },
    /// Look whether it is still ours.
    Look,
    /// Free it, or hand it on.
    Release,
    /// Take the acquire back, whatever became of it.
    Undo,
}

/// What becomes of an acquire that finds the lock taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Joining {
    /// It has no place in the queue.
    No,
    /// It has, until the deadline of its entry, by the server's clock in milliseconds; `None` before there is one.
    Queue { deadline: Option<u64> },
}

/// Whether this client may use channels. Without them waiters ask again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Publishing {
    Allowed,
    Refused,
}

/// The arguments of the longest call, and how many bytes they have besides the names; so that a call is written
/// without moving what is written already.
const MOST_ARGUMENTS: usize = 11;
const OTHER_ARGUMENTS: usize = "EVALSHA".len() + 40 + Token::LENGTH + 3 * 20;

impl Command {
    /// Appends the call to a pipeline.
    pub(in crate::redis) fn write(&self, keys: &Keys, publishing: Publishing, pipeline: &mut ::redis::Pipeline) {
        let of = keys.of(&self.resource);
        let bytes = 3 * of.queue().len() + keys.inboxes().len() + OTHER_ARGUMENTS;
        let mut call = ::redis::Cmd::with_capacity(MOST_ARGUMENTS, bytes);
        call.arg("EVALSHA").arg(self.script().digest.as_str()).arg(3);
        call.arg(of.lock()).arg(of.queue()).arg(of.into_fence());
        match publishing {
            Publishing::Allowed => call.arg(keys.inboxes()),
            Publishing::Refused => call.arg(""),
        };
        call.arg(&self.token.written()[..]);
        match self.step {
            Step::Acquire { lease, joining } => {
                call.arg(milliseconds(lease));
                let (mode, deadline) = match (joining, publishing) {
                    (Joining::No, _) => ("n", None),
                    (Joining::Queue { deadline }, Publishing::Allowed) => ("m", deadline),
                    (Joining::Queue { deadline }, Publishing::Refused) => ("p", deadline),
                };
                call.arg(mode);
                if let Some(deadline) = deadline {
                    call.arg(deadline);
                }
            }
            Step::Renew { lease } => _ = call.arg(milliseconds(lease)),
            Step::Reset { lease } => _ = call.arg(milliseconds(lease)).arg("e"),
            Step::Look => _ = call.arg(0),
            Step::Release | Step::Undo => {}
        }
        pipeline.add_command(call);
    }

    fn script(&self) -> &'static Script {
        match self.step {
            Step::Acquire { .. } => &ACQUIRE,
            Step::Renew { .. } | Step::Reset { .. } | Step::Look => &RENEW,
            Step::Release => &RELEASE,
            Step::Undo => &UNDO,
        }
    }

    /// Whether it is one that a holder waits for, or that frees a lock: those go before acquires.
    pub(in crate::redis) fn is_urgent(&self) -> bool {
        !matches!(self.step, Step::Acquire { .. })
    }
}

/// A lease as the server counts it: whole milliseconds, at least one.
fn milliseconds(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX).max(1)
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
