//! Which server to connect to, where several are named: the one that is a primary, or the one that Sentinel names.
//!
//! - [`cluster`]: asks the nodes of a cluster which of them serves which slots.
//! - [`role`]: what a server says of itself, asked on the very connection that is used afterwards.
//! - [`sentinels`]: asks the sentinels of a service for its primary.
//! - [`switch`]: notices that they name another one.

pub(super) mod cluster;
pub(super) mod role;
pub(super) mod sentinels;
pub(super) mod switch;
mod unanswered;

use ::redis::{RedisError, make_extension_error};

use super::connection_string::Server;

/// The code of an error of this crate's own: the server that was found is no primary, or cannot be reached. Another is likely
/// to be named soon.
pub(super) const NO_PRIMARY: &str = "NOPRIMARY";

fn no_primary(detail: String) -> RedisError {
    make_extension_error(NO_PRIMARY.to_owned(), Some(detail))
}

/// An address that a server names.
pub(super) fn address(host: &str, port: &str, tls: bool) -> Option<Server> {
    let is_host = (1..=253).contains(&host.len()) && host.chars().all(|c| c.is_ascii_graphic());
    let port = port.parse().ok().filter(|port| *port > 0 && is_host)?;
    Some(Server::Tcp { host: host.to_owned(), port, tls })
}

/// The error of one of several servers, which it names.
pub(super) fn of_server(server: &Server, error: &RedisError) -> RedisError {
    match error.code() {
        Some(code) => {
            make_extension_error(code.to_owned(), Some(format!("{} (at {server})", error.detail().unwrap_or_default())))
        }
        None if error.is_io_error() => {
            let kind =
                if error.is_timeout() { std::io::ErrorKind::TimedOut } else { std::io::ErrorKind::ConnectionAborted };
            RedisError::from(std::io::Error::new(kind, format!("{server}: {error}")))
        }
        None => RedisError::from((error.kind(), "one of several servers", format!("{server}: {error}"))),
    }
}

/// The error of a server that was found, which did not accept a connection: it is waited for, unless it refuses this client.
pub(super) fn not_reached(server: &Server, error: &RedisError) -> RedisError {
    if error.is_io_error() {
        no_primary(format!("{server} is named as the primary, and cannot be reached: {error}"))
    } else {
        of_server(server, error)
    }
}
