//! Numbers in the words of a command.

use super::{Reply, ServerError, refused};

/// A whole number, written as the server itself would write it: no sign but one minus, no zero before it, no space.
pub(super) fn integer(word: &[u8]) -> Result<i64, ServerError> {
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse::<i64>().ok());
    match number {
        Some(number) if number.to_string().as_bytes() == word => Ok(number),
        _ => refused("ERR value is not an integer or out of range"),
    }
}

/// How many: zero or more.
pub(super) fn count(word: &[u8]) -> Result<usize, ServerError> {
    match integer(word).map(usize::try_from) {
        Ok(Ok(count)) => Ok(count),
        _ => refused("ERR value is out of range, must be positive"),
    }
}

/// The place in a list of this length that an index means: from its end if it is negative.
pub(super) fn place(index: i64, length: usize) -> Option<usize> {
    if let Ok(index) = usize::try_from(index) {
        return (index < length).then_some(index);
    }
    length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
}

pub(super) fn flag(yes: bool) -> Reply {
    Reply::Integer(i64::from(yes))
}
