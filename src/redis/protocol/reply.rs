//! What the scripts answer.

use std::time::Duration;

use ::redis::Value;

use super::command::unexpected;
use crate::LockError;

/// What became of an acquire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Acquired {
    /// It is ours, with this number.
    Granted { fence: u64, others_wait: bool },
    /// It is somebody else's, and we are in the queue. `dropped`: with a new entry, since the one before had been taken
    /// for that of a process that is gone.
    Queued { lease_left: Option<Duration>, at: ServerTime, deadline: u64, dropped: bool },
    /// It is somebody else's, and we are not in the queue.
    Busy,
    /// The queue had more dead entries than one call drops, and we are not in it: to be asked again.
    Unfinished,
}

/// A time by the server's clock, in microseconds since 1970. Good for differences alone: that clock is not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) struct ServerTime(pub(in crate::redis) u64);

impl ServerTime {
    /// How long after `earlier` this was; zero if the clock went back in between.
    pub(in crate::redis) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// What taking an acquire back found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum CancelReply {
    Nothing,
    Found,
}

/// The answer of `acquire.lua`.
pub(in crate::redis) fn acquired(answer: &Value) -> Result<Acquired, LockError> {
    if let Value::Int(fence) = answer
        && *fence > 0
    {
        return Ok(Acquired::Granted { fence: fence.unsigned_abs(), others_wait: false });
    }
    let [kind, first, at, last] = numbers(answer)?;
    match kind {
        1 if first > 0 => Ok(Acquired::Granted { fence: first.unsigned_abs(), others_wait: last > 0 }),
        0 | 3 => Ok(Acquired::Queued {
            // Negative where a lock of another make has no end, or the lock is kept for the first in the queue.
            lease_left: u64::try_from(first).ok().map(Duration::from_millis),
            at: ServerTime(at.unsigned_abs()),
            deadline: last.unsigned_abs(),
            dropped: kind == 3,
        }),
        2 => Ok(Acquired::Busy),
        4 => Ok(Acquired::Unfinished),
        _ => Err(unexpected(answer)),
    }
}

/// The answer of `renew.lua` and `release.lua`: whether the lock was ours, and whether others wait for it.
pub(in crate::redis) fn flag(answer: &Value) -> Result<Option<bool>, LockError> {
    match answer {
        Value::Int(0) => Ok(None),
        Value::Int(ours @ 1..) => Ok(Some(*ours > 1)),
        _ => Err(unexpected(answer)),
    }
}

/// The answer of `cancel.lua`.
pub(in crate::redis) fn cancel_reply(answer: &Value) -> Result<CancelReply, LockError> {
    match answer {
        Value::Int(0) => Ok(CancelReply::Nothing),
        Value::Int(1 | 2) => Ok(CancelReply::Found),
        _ => Err(unexpected(answer)),
    }
}

fn numbers(answer: &Value) -> Result<[i64; 4], LockError> {
    let Value::Array(values) = answer else { return Err(unexpected(answer)) };
    let mut numbers = [0; 4];
    if values.len() != numbers.len() {
        return Err(unexpected(answer));
    }
    for (number, value) in numbers.iter_mut().zip(values) {
        let Value::Int(value) = value else { return Err(unexpected(answer)) };
        *number = *value;
    }
    Ok(numbers)
}
