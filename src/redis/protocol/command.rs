//! What a client may do, and what it does not expect.

use std::fmt;

use crate::LockError;

/// Whether this client may publish notifications. If not, waiters poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Publishing {
    Allowed,
    Refused,
}

/// Why the server sends this client no notifications.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) enum Refusal {
    /// The user has no permission for the channels.
    Channels,
    /// The server's text.
    Other(String),
}

impl Refusal {
    /// The refusal that a server's error stands for.
    pub(in crate::redis) fn new(text: &str) -> Self {
        if text.contains("NOPERM") && text.contains("channel") { Self::Channels } else { Self::Other(text.to_owned()) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channels => f.write_str("the user has no permission for channels"),
            Self::Other(text) => f.write_str(text),
        }
    }
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
