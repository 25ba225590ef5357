//! Reads the values of options. The reasons of errors never repeat a value.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::mistake::Mistake;
use super::target::{Credentials, Given};

/// The value; or `None`, after adding a mistake.
pub(super) fn kept<T>(
    part: &str,
    value: Result<T, impl Into<Cow<'static, str>>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<T> {
    value.map_err(|reason| mistakes.push(Mistake::new(part, reason.into()))).ok()
}

pub(super) fn port(text: &str) -> Result<u16, &'static str> {
    digits(text)
        .and_then(|number| u16::try_from(number).ok())
        .filter(|port| *port > 0)
        .ok_or("a number from 1 to 65535 is needed")
}

/// The number of a database. Only the server knows how many it has.
pub(super) fn database(text: &str) -> Result<i64, &'static str> {
    digits(text)
        .and_then(|number| i32::try_from(number).ok())
        .map(i64::from)
        .ok_or("a number from 0 to 2147483647 is needed")
}

/// The unit of a number that is written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// The number is whole, and no other unit is allowed.
    Milliseconds,
    /// As in Python and Go. Another unit may be written, as in `500ms`.
    Seconds,
    /// The unit has to be written, since clients differ.
    Written,
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that Linux accepts. With a longer one connecting fails.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(32_767);

/// Reads a time-out of 10 ms or more. One above the maximum becomes the maximum: such a string was written for a client with
/// longer time-outs, and a long one was meant.
pub(super) fn timeout(option: &'static str, text: &str, unit: Unit) -> Result<Given, &'static str> {
    let (time, reason) = match unit {
        Unit::Milliseconds => (milliseconds(text), "a number of milliseconds is needed, 10 or more"),
        Unit::Seconds => (
            duration(text, Some(1.0)),
            "a number of seconds is needed, or a time with its unit such as 500ms; 10ms or more",
        ),
        Unit::Written => (
            duration(text, None),
            "clients differ in its unit: write it, as in 500ms or 5s (10ms or more), or give responseTimeout, in \
             milliseconds",
        ),
    };
    let time = time.filter(|time| *time >= SHORTEST_TIMEOUT).ok_or(reason)?;
    Ok(bounded(option, time, LONGEST_TIMEOUT))
}

fn bounded(option: &'static str, time: Duration, longest: Duration) -> Given {
    Given { time: time.min(longest), option, shortened: time > longest }
}

fn milliseconds(text: &str) -> Option<Duration> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large for the type is above the maximum as well.
    all_digits.then(|| text.parse().map_or(Duration::MAX, Duration::from_millis))
}

/// A time as Go and Lettuce write it: `1m30s`, `1.5s`, `500ms`. `bare_unit` is the unit of a number without one, in seconds, if
/// such a number is allowed.
fn duration(text: &str, bare_unit: Option<f64>) -> Option<Duration> {
    // In go-redis these mean no time-out at all.
    if bare_unit.is_some() && matches!(text, "-1" | "-2") {
        return Some(Duration::MAX);
    }
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.bytes().position(|byte| !is_number(byte)).unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.bytes().position(is_number).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let unit_seconds = match unit {
            "" if number.len() == text.len() => bare_unit?,
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * unit_seconds;
        rest = after;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).filter(|_| !text.is_empty())
}

/// Reads a number of seconds. -1 and 0 mean the default, as in StackExchange.Redis.
pub(super) fn keep_alive(option: &'static str, text: &str) -> Result<Option<Given>, &'static str> {
    match text {
        "-1" => Ok(None),
        _ => digits(text)
            .map(|seconds| (seconds > 0).then(|| bounded(option, Duration::from_secs(seconds), LONGEST_KEEP_ALIVE)))
            .ok_or("a number of seconds is needed, 1 or more, or -1 for the default"),
    }
}

pub(super) fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("true or false is needed"),
    }
}

/// Accepts RESP3 alone: with it notifications arrive on the connection of the commands.
pub(super) fn protocol(text: &str) -> Result<(), &'static str> {
    if text == "3" || text.eq_ignore_ascii_case("resp3") {
        return Ok(());
    }
    Err("only 3 (or resp3) is supported, which Redis speaks from version 6 on")
}

/// Undoes percent-encoding.
pub(super) fn decoded(text: &str) -> Result<String, &'static str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let escape = after.as_bytes().get(..2);
        if !escape.is_some_and(|escape| escape.iter().all(u8::is_ascii_hexdigit)) {
            return Err("two hexadecimal digits are needed after a '%'; write '%' itself as %25");
        }
        rest = after;
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| "what is percent-encoded is not UTF-8")
}

fn digits(text: &str) -> Option<u64> {
    // `parse` would accept a sign as well.
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

/// A user and a password that can be used together. An empty user is no user. An empty password is a password only with a
/// user, since the server may have a user without one.
pub(super) fn credentials(user: Option<String>, password: Option<String>, mistakes: &mut Vec<Mistake>) -> Credentials {
    let user = user.filter(|user| !user.is_empty());
    if user.is_none() {
        return Credentials { user: None, password: password.filter(|password| !password.is_empty()) };
    }
    if password.is_none() {
        // Without a password the server is not told the user. Often the text is the password itself.
        mistakes.push(Mistake::new(
            "user",
            "without a password, which may be empty; in a URL, a password alone is written redis://:password@host",
        ));
    }
    Credentials { user, password }
}
