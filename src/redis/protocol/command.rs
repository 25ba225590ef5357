//! What a client may do, and what it does not expect.

use crate::LockError;

/// Whether this client may publish notifications. If not, waiters poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Publishing {
    Allowed,
    Refused,
}

/// An answer that no script of this crate gives.
pub(super) fn unexpected(answer: &::redis::Value) -> LockError {
    // Never the answer itself: it may contain a secret.
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
