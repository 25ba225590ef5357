//! The error where no sentinel has named a primary: what each of them said.

use ::redis::{ErrorKind, RedisError, make_extension_error};

use crate::redis::connection_string::{SentinelTarget, Server};

/// Why no sentinel has named a primary. A failure without an error is of one that does not know the service.
pub(super) fn unanswered(target: &SentinelTarget, failures: &[(Server, Option<RedisError>)]) -> RedisError {
    let service = &target.service;
    // What the sentinels say counts more than that one of them did not reply.
    let mut refusals = failures.iter().filter_map(|(sentinel, error)| {
        let error = error.as_ref()?;
        // The redis crate has its own error, without a code, for a password that is refused before `HELLO`.
        let refused = (error.kind() == ErrorKind::AuthenticationFailed).then_some("WRONGPASS");
        Some((sentinel, error, error.code().or(refused)?))
    });
    if let Some((sentinel, error, code)) = refusals.next() {
        let detail = error.detail().unwrap_or("the password is not accepted");
        let hint = if matches!(code, "NOAUTH" | "WRONGPASS") {
            " (the sentinels may have a password of their own: sentinel_password)"
        } else {
            ""
        };
        let detail = format!("{}, from the sentinel {sentinel}{hint}", detail.trim_end_matches('.'));
        return make_extension_error(code.to_owned(), Some(detail));
    }
    let unknown: Vec<_> =
        failures.iter().filter(|(_, error)| error.is_none()).map(|(sentinel, _)| sentinel.to_string()).collect();
    if !unknown.is_empty() {
        let detail = format!("{service:?} is not known to {}", unknown.join(", "));
        return RedisError::from((ErrorKind::InvalidClientConfig, "the sentinels have no such service", detail));
    }
    let each: Vec<_> = failures
        .iter()
        .map(|(sentinel, error)| {
            let error = error.as_ref().map_or_else(String::new, RedisError::to_string);
            format!("{sentinel}: {error}")
        })
        .collect();
    let text = match each.as_slice() {
        [] => format!("no sentinel of {service} has replied in time"),
        each => format!("no sentinel of {service} can be reached: {}", each.join("; ")),
    };
    // The kind says what can be done about it: a port that expects TLS accepts a connection and closes it.
    let closed = |error: &RedisError| error.is_connection_dropped() && !error.is_connection_refusal();
    let kind = if failures.iter().any(|(_, error)| error.as_ref().is_some_and(closed)) {
        std::io::ErrorKind::ConnectionReset
    } else if failures.iter().all(|(_, error)| error.as_ref().is_some_and(RedisError::is_timeout)) {
        std::io::ErrorKind::TimedOut
    } else {
        std::io::ErrorKind::ConnectionRefused
    };
    RedisError::from(std::io::Error::new(kind, text))
}
