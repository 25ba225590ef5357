//! [`ErrorClass`]: what an error of the server means for the connection, and whether the call is sent again. What it means
//! for the lock is told apart in `driver::reply`.

use ::redis::RedisError;

use super::Redirect;
use crate::redis::connection_string::Server;
use crate::redis::discovery::{self, NO_PRIMARY};

/// What is to be done about a call that the server refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The server does not know the script: load it and send the call again.
    NoScript,
    /// The server does not run the call here, or not now, and has not begun to: the call waits for another connection.
    NotHere,
    /// Another node of the cluster runs the call, or this one a little later.
    Redirected,
    /// The call fails, and the next goes over another connection, which may be accepted.
    NotAuthenticated,
    /// The call fails.
    Final,
}

/// The class of an error that one call was answered.
pub(super) fn classify(error: &RedisError, in_cluster: bool) -> ErrorClass {
    match error.code() {
        Some("NOSCRIPT") => ErrorClass::NoScript,
        _ if is_not_here(error) => ErrorClass::NotHere,
        _ if in_cluster && is_redirected(error) => ErrorClass::Redirected,
        Some("NOAUTH" | "WRONGPASS") => ErrorClass::NotAuthenticated,
        _ => ErrorClass::Final,
    }
}

/// Whether the server is a replica, or has not loaded its data, or none of several is a primary. All pass: it becomes a primary again, or another server gets
/// its address. None of our scripts has changed anything by then, since the server refuses each of its writes.
pub(super) fn is_not_here(error: &RedisError) -> bool {
    matches!(error.code(), Some("READONLY" | "LOADING" | "MASTERDOWN" | NO_PRIMARY))
}

/// Whether a node of a cluster does not run the call because of its slot, and has not begun to; or has [`stopped`]
/// for that reason.
pub(in crate::redis) fn is_redirected(error: &RedisError) -> bool {
    matches!(error.code(), Some("MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN")) || stopped(error)
}

/// Whether a script was stopped while its slot was being moved. The node checks each command of a script, and refuses one for a
/// key that is not there (any more), though it had accepted the script. What the script has done until then stays. Each
/// script may be run again with the same token.
pub(super) fn stopped(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.contains("attempted to access a non local key"))
}

/// What the node of a cluster says of the call, whose connection goes to `from`.
///
/// `ASK` means that the keys of a lock that is not there yet are to be made at the node that the slot is moving to. A script
/// has several keys, some of which do not exist as a rule. Such a call is refused there with `TRYAGAIN` until the move
/// ends. So it waits for that in both cases.
pub(in crate::redis) fn redirect(error: &RedisError, from: &Server) -> Redirect {
    let moved = || {
        let (slot, address) = error.detail().filter(|_| error.code() == Some("MOVED"))?.split_once(' ')?;
        let (host, port) = address.trim().rsplit_once(':')?;
        let Server::Tcp { host: own, tls, .. } = from else { return None };
        // Without a host it is that of the node which replied.
        let host = if matches!(host, "" | "?") { own } else { host };
        Some(Redirect::Moved { slot: slot.parse().ok()?, server: discovery::address(host, port, *tls)? })
    };
    moved().unwrap_or(Redirect::Later)
}

/// Whether the refusal of a command for several locks may concern only one of them: they are in different slots of a
/// cluster, one of those slots is not served, or this client may not use one of the names. Or the service does not run scripts
/// whose keys are not literal. The server checks this before it begins with the script, so that each lock can be tried by itself.
pub(super) fn may_be_of_one_lock(error: &RedisError) -> bool {
    let wants_literal_keys = || error.detail().is_some_and(|detail| detail.contains("bad lua script"));
    matches!(error.code(), Some("CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" | "NOPERM")) || wants_literal_keys()
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
            ("-MOVED 3999 127.0.0.1:6381\r\n", ErrorClass::Redirected),
            ("-ASK 3999 127.0.0.1:6381\r\n", ErrorClass::Redirected),
            ("-TRYAGAIN Multiple keys request during rehashing of slot\r\n", ErrorClass::Redirected),
            ("-CLUSTERDOWN Hash slot not served\r\n", ErrorClass::Redirected),
            ("-NOAUTH Authentication required.\r\n", ErrorClass::NotAuthenticated),
            (
                "-ERR Script attempted to access a non local key in a cluster node script: 6a4, on @user_script:85.\r\n",
                ErrorClass::Redirected,
            ),
            ("-WRONGTYPE Operation against a key\r\n", ErrorClass::Final),
            ("-OOM command not allowed\r\n", ErrorClass::Final),
            ("-ERR unknown\r\n", ErrorClass::Final),
        ] {
            assert_eq!(classify(&error(text), true), expected, "{text}");
        }
    }

    #[test]
    fn a_node_says_where_a_slot_is() {
        let from = Server::Tcp { host: "h".to_owned(), port: 1, tls: true };
        let moved = |host: &str| Redirect::Moved {
            slot: 3999,
            server: Server::Tcp { host: host.to_owned(), port: 6381, tls: true },
        };
        assert_eq!(redirect(&error("-MOVED 3999 127.0.0.1:6381\r\n"), &from), moved("127.0.0.1"));
        assert_eq!(redirect(&error("-MOVED 3999 :6381\r\n"), &from), moved("h"));
        assert_eq!(redirect(&error("-MOVED 3999 fd00::1:6381\r\n"), &from), moved("fd00::1"));
        for text in ["-MOVED 3999\r\n", "-MOVED x h:1\r\n", "-MOVED 1 h:0\r\n", "-ASK 1 h:1\r\n", "-CLUSTERDOWN no\r\n"]
        {
            assert_eq!(redirect(&error(text), &from), Redirect::Later, "{text}");
        }
        assert_eq!(classify(&error("-MOVED 3999 127.0.0.1:6381\r\n"), false), ErrorClass::Final);
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
