//! Values of options. The reasons never repeat a value.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::mistake::Mistake;
use super::target::Given;

/// The value, or nothing and one mistake more.
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

/// The number of a database; how many there are, only the server knows.
pub(super) fn database(text: &str) -> Result<i64, &'static str> {
    digits(text)
        .and_then(|number| i32::try_from(number).ok())
        .map(i64::from)
        .ok_or("a number from 0 to 2147483647 is needed")
}

/// The unit of a number that is written without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Of a whole number, and no other unit can be written.
    Milliseconds,
    /// As Python and Go have it; others can be written, as in `500ms`.
    Seconds,
    /// It has to be written, since clients differ.
    Written,
}

const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that Linux takes; a connection with a longer one cannot be made.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(32_767);

/// A time-out, of 10 ms or more. One that is longer than the longest becomes that: such a string was written for a client
/// that does something else with it, and its author wanted a long one.
pub(super) fn timeout(option: &'static str, text: &str, unit: Unit) -> Result<Given, &'static str> {
    let (time, reason) = match unit {
        Unit::Milliseconds => (milliseconds(text), "a number of milliseconds is needed, 10 or more"),
        Unit::Seconds => (
            span(text, Some(1.0)),
            "a number of seconds is needed, or a time with its unit such as 500ms; 10ms or more",
        ),
        Unit::Written => (
            span(text, None),
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
    // What is too large for the type is certainly too long.
    all_digits.then(|| text.parse().map_or(Duration::MAX, Duration::from_millis))
}

/// A time as Go and Lettuce write it: `1m30s`, `1.5s`, `500ms`; or a number alone, in so many seconds.
fn span(text: &str, alone: Option<f64>) -> Option<Duration> {
    // For go-redis this is no time-out at all.
    if alone.is_some() && matches!(text, "-1" | "-2") {
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
        let minus_clock_drift = match unit {
            "" if number.len() == text.len() => alone?,
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * minus_clock_drift;
        rest = after;
    }
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)).filter(|_| !text.is_empty())
}

/// Seconds; -1 and 0 stand for the default, as in StackExchange.Redis.
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

/// RESP3 carries the messages of waiters on the connection of the commands.
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
    // `parse` would take a sign as well.
    let all_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

/// A user and a password that can be used together. An empty user is none; an empty password is one only with a
/// user, whom the server may let in without.
pub(super) fn credentials(
    user: Option<String>,
    password: Option<String>,
    mistakes: &mut Vec<Mistake>,
) -> (Option<String>, Option<String>) {
    let user = user.filter(|user| !user.is_empty());
    if user.is_none() {
        return (None, password.filter(|password| !password.is_empty()));
    }
    if password.is_none() {
        // It would go unused: nobody is authenticated without a password. Often it is the password itself.
        mistakes.push(Mistake::new(
            "user",
            "without a password, which may be empty; in a URL, a password alone is written redis://:password@host",
        ));
    }
    (user, password)
}
