//! What the scripts answer.

use std::time::Duration;

use ::redis::Value;

use super::command::unexpected;
use crate::LockError;

/// What became of an acquire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Acquired {
    /// It is ours, with this number, since this time by the server's clock.
    Granted { fence: u64, at: ServerTime, others_wait: bool },
    /// It is somebody else's, and we are in the queue.
    Queued { lease_left: Option<Duration>, at: ServerTime, deadline: u64 },
    /// It is somebody else's, and we are not in the queue.
    Busy,
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
pub(in crate::redis) enum Undone {
    Nothing,
    Found,
}

/// The answer of `acquire.lua`.
pub(in crate::redis) fn acquired(answer: &Value) -> Result<Acquired, LockError> {
    if let Value::Int(time) = answer
        && *time > 0
    {
        let time = time.unsigned_abs();
        return Ok(Acquired::Granted { fence: time, at: ServerTime(time), others_wait: false });
    }
    let [kind, first, at, last] = numbers(answer)?;
    let at = ServerTime(at.unsigned_abs());
    match kind {
        1 if first > 0 => Ok(Acquired::Granted { fence: first.unsigned_abs(), at, others_wait: last > 0 }),
        0 => Ok(Acquired::Queued {
            // Negative where a lock of another make has no end, or the lock is kept for the first in the queue.
            lease_left: u64::try_from(first).ok().map(Duration::from_millis),
            at,
            deadline: last.unsigned_abs(),
        }),
        2 => Ok(Acquired::Busy),
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

/// The answer of `undo.lua`.
pub(in crate::redis) fn undone(answer: &Value) -> Result<Undone, LockError> {
    match answer {
        Value::Int(0) => Ok(Undone::Nothing),
        Value::Int(1 | 2) => Ok(Undone::Found),
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
