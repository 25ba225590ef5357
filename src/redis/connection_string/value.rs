//! Values of options. The reasons never repeat a value.

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::mistake::Mistake;

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

pub(super) fn timeout(text: &str) -> Result<Duration, &'static str> {
    digits(text)
        .filter(|millis| (10..=60_000).contains(millis))
        .map(Duration::from_millis)
        .ok_or("a number of milliseconds from 10 to 60000 is needed")
}

/// Seconds; -1 and 0 stand for the default, as in StackExchange.Redis.
pub(super) fn keep_alive(text: &str) -> Result<Option<Duration>, &'static str> {
    match text {
        "-1" => Ok(None),
        _ => digits(text)
            .filter(|seconds| *seconds <= 86_400)
            .map(|seconds| (seconds > 0).then(|| Duration::from_secs(seconds)))
            .ok_or("a number of seconds from 1 to 86400 is needed, or -1 for the default"),
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
