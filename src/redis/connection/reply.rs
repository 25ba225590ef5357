//! What an error of the server's means for a call: the one place where replies are told apart.

use ::redis::RedisError;

/// What is to be done about a call that the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The server has forgotten the script: load it and send the call again.
    Forgotten,
    /// The server does not run it here, or not now, and has not begun to: the call waits for another connection.
    NotHere,
    /// The caller is told, and the next call goes over another connection, which may be accepted.
    AnotherConnection,
    /// The caller is told.
    Final,
}

/// What an error that one call was answered means.
pub(super) fn verdict(error: &RedisError) -> Verdict {
    match error.code() {
        Some("NOSCRIPT") => Verdict::Forgotten,
        _ if is_not_here(error) => Verdict::NotHere,
        Some("NOAUTH" | "WRONGPASS") => Verdict::AnotherConnection,
        _ => Verdict::Final,
    }
}

/// Answers of a server that is a replica, or has no data yet. Both pass: it is made a master (again), or another server
/// has its address. None of our scripts has changed anything by then, since each of its writes is refused.
///
/// `MOVED`, `ASK`, `CLUSTERDOWN` and `TRYAGAIN` would be among them if there were another server to ask.
pub(super) fn is_not_here(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN"))
}

/// Refusals of a command for several locks that one for each of them need not meet: they are in different slots of a
/// cluster, one of those is not served, or one of them is a name that we may not use. The server says so before it begins
/// with the script.
pub(super) fn is_of_several(error: &RedisError) -> bool {
    matches!(error.code(), Some("CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" | "NOPERM"))
}

/// Whether the connection was closed, rather than silent: the next one is likely to work.
pub(super) fn is_closed(error: &RedisError) -> bool {
    error.is_io_error() && !error.is_timeout()
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
    fn each_reply_has_its_verdict() {
        for (text, expected) in [
            ("-NOSCRIPT No matching script.\r\n", Verdict::Forgotten),
            ("-READONLY You can't write against a read only replica.\r\n", Verdict::NotHere),
            (
                "-READONLY You can't write against a read only replica. script: 4cf, on @user_script:28.\r\n",
                Verdict::NotHere,
            ),
            ("-LOADING Redis is loading the dataset in memory\r\n", Verdict::NotHere),
            ("-MASTERDOWN Connection with MASTER is down\r\n", Verdict::NotHere),
            ("-NOAUTH Authentication required.\r\n", Verdict::AnotherConnection),
            ("-WRONGTYPE Operation against a key\r\n", Verdict::Final),
            ("-OOM command not allowed\r\n", Verdict::Final),
            ("-ERR unknown\r\n", Verdict::Final),
        ] {
            assert_eq!(verdict(&error(text)), expected, "{text}");
        }
    }

    #[test]
    fn a_closed_connection_is_not_a_silent_one() {
        let of = |kind| RedisError::from(std::io::Error::from(kind));
        assert!(is_closed(&of(std::io::ErrorKind::ConnectionReset)));
        assert!(is_closed(&of(std::io::ErrorKind::UnexpectedEof)));
        assert!(is_closed(&super::super::failure::given_up()));
        assert!(!is_closed(&super::super::failure::too_slow()));
        assert!(!is_closed(&error("-ERR unknown\r\n")));
    }
}
