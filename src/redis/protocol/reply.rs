//! The answers of the scripts.

use std::time::Duration;

use ::redis::{RedisResult, Value};

use super::command::{Refusal, unexpected};
use crate::engine::{Acquired, CancelReply, ServerTime};
use crate::{LockError, LockMode};

/// The answer of `acquire.lua`.
pub(in crate::redis) fn acquired(answer: &Value) -> Result<Acquired, LockError> {
    if let Value::Int(fence) = answer
        && *fence > 0
    {
        return Ok(Acquired::Granted { fence: fence.unsigned_abs(), others_wait: false, permit: None });
    }
    let ([kind, first, at, last], permit) = if let Some(numbers) = numbers(answer) {
        (numbers, None)
    } else {
        let [kind, first, at, last, permit] = numbers(answer).ok_or_else(|| unexpected(answer))?;
        let permit = u32::try_from(permit).ok().filter(|permit| kind == 1 && *permit < LockMode::MAX_PERMITS);
        ([kind, first, at, last], Some(permit.ok_or_else(|| unexpected(answer))?))
    };
    match kind {
        1 if first > 0 => Ok(Acquired::Granted { fence: first.unsigned_abs(), others_wait: last > 0, permit }),
        0 | 3 => Ok(Acquired::Queued {
            // Negative if another program's lock has no expiry, or the lock is free and kept for the first in the queue.
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
pub(in crate::redis) fn owner_reply(answer: &Value) -> Result<Option<bool>, LockError> {
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

/// The answer of `probe.lua`: why scripts may not publish, if they may not.
pub(in crate::redis) fn publishing(answer: RedisResult<Value>) -> Option<Refusal> {
    match answer {
        Ok(Value::BulkString(text)) => Some(Refusal::new(&String::from_utf8_lossy(&text))),
        // A service that refuses a script because of what it calls.
        Err(error) if error.code() == Some("ERR") => Some(Refusal::new(&error.to_string())),
        // The script was refused for a reason that passes, or that the calls for locks meet as well.
        Ok(_) | Err(_) => None,
    }
}

fn numbers<const N: usize>(answer: &Value) -> Option<[i64; N]> {
    let Value::Array(values) = answer else { return None };
    let values: &[Value; N] = values.as_slice().try_into().ok()?;
    let mut numbers = [0; N];
    for (number, value) in numbers.iter_mut().zip(values) {
        let Value::Int(value) = value else { return None };
        *number = *value;
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(numbers: &[i64]) -> Value {
        Value::Array(numbers.iter().map(|number| Value::Int(*number)).collect())
    }

    #[test]
    fn a_grant_of_a_permit_has_its_number() {
        let granted = |numbers: &[i64]| match acquired(&list(numbers)) {
            Ok(Acquired::Granted { fence, others_wait, permit }) => Some((fence, others_wait, permit)),
            _ => None,
        };
        assert_eq!(granted(&[1, 7, 8, 0]), Some((7, false, None)));
        assert_eq!(granted(&[1, 7, 8, 2, 3]), Some((7, true, Some(3))));
        assert_eq!(granted(&[1, 7, 8, 0, 999_999]), Some((7, false, Some(999_999))));
    }

    #[test]
    fn another_list_is_no_answer() {
        for numbers in
            [&[1, 7, 8, 0, -1][..], &[1, 7, 8, 0, 1_000_000], &[0, 7, 8, 9, 0], &[1, 7, 8, 0, 0, 0], &[1, 0, 8, 0, 0]]
        {
            assert!(acquired(&list(numbers)).is_err(), "{numbers:?}");
        }
    }
}
