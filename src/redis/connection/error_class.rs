//! [`ErrorClass`]: what an error of the server means for the connection, and whether the call is sent again. What it means
//! for the lock is told apart in `driver::reply`.

use ::redis::RedisError;

use crate::redis::discovery::NO_PRIMARY;

/// What is to be done about a call that the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum ErrorClass {
    /// The server does not know the script: load it and send the call again.
    NoScript,
    /// The server does not run the call here, or not now, and has not begun to: the call waits for another connection.
    NotHere,
    /// The call fails, and the next goes over another connection, which may be accepted.
    NotAuthenticated,
    /// The call fails.
    Final,
}

/// The class of an error that one call was answered.
pub(in crate::redis) fn classify(error: &RedisError) -> ErrorClass {
    match error.code() {
        Some("NOSCRIPT") => ErrorClass::NoScript,
        _ if is_not_here(error) => ErrorClass::NotHere,
        Some("NOAUTH" | "WRONGPASS") => ErrorClass::NotAuthenticated,
        _ => ErrorClass::Final,
    }
}

/// Whether the server is a replica, or has not loaded its data, or none of several is a primary. All pass: it becomes a primary again, or another server gets
/// its address. None of our scripts has changed anything by then, since the server refuses each of its writes.
///
/// `MOVED`, `ASK`, `CLUSTERDOWN` and `TRYAGAIN` would be among these errors if there were another server to ask.
pub(super) fn is_not_here(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | NO_PRIMARY))
}

/// Whether the refusal of a command for several locks may concern only one of them: they are in different slots of a
/// cluster, one of those slots is not served, or this client may not use one of the names. The server checks this before it
/// begins with the script, so that each lock can be tried by itself.
pub(super) fn may_be_of_one_lock(error: &RedisError) -> bool {
    matches!(error.code(), Some("CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" | "NOPERM"))
}

/// Whether the connection was closed, rather than silent: the next one is likely to work.
pub(super) fn is_closed(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
}

/// Whether the server accepted the connection and then closed it.
pub(super) fn is_cut_off(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_connection_refusal()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn error(text: &str) -> RedisError {
        let ::redis::Value::ServerError(error) = ::redis::parse_redis_value(text.as_bytes()).unwrap() else {
            panic!("an error")
        };
        error.into()
    }

    #[test]
    fn each_error_has_its_class() {
        for (text, expected) in [
            ("-NOSCRIPT No matching script.\r\n", ErrorClass::NoScript),
            ("-READONLY You can't write against a read only replica.\r\n", ErrorClass::NotHere),
            (
                "-READONLY You can't write against a read only replica. script: 4cf, on @user_script:28.\r\n",
                ErrorClass::NotHere,
            ),
            ("-LOADING Redis is loading the dataset in memory\r\n", ErrorClass::NotHere),
            ("-MASTERDOWN Link with MASTER is down\r\n", ErrorClass::NotHere),
            ("-NOAUTH Authentication required.\r\n", ErrorClass::NotAuthenticated),
            ("-WRONGTYPE Operation against a key\r\n", ErrorClass::Final),
            ("-OOM command not allowed\r\n", ErrorClass::Final),
            ("-ERR unknown\r\n", ErrorClass::Final),
        ] {
            assert_eq!(classify(&error(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_closed_connection_is_not_a_silent_one() {
        let of = |kind| RedisError::from(std::io::Error::from(kind));
        assert!(is_closed(&of(std::io::ErrorKind::ConnectionReset)));
        assert!(is_closed(&of(std::io::ErrorKind::UnexpectedEof)));
        assert!(is_closed(&super::super::failure::connection_closed()));
        assert!(!is_closed(&super::super::failure::timed_out()));
        assert!(!is_closed(&error("-ERR unknown\r\n")));
    }
}
