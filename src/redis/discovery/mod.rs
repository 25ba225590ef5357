//! Which server to connect to, where several are named: the one that is a primary, or the one that Sentinel names.
//!
//! - [`cluster`]: asks the nodes of a cluster which of them serves which slots.
//! - [`role`]: what a server says of itself, asked on the very connection that is used afterwards.
//! - [`sentinels`]: asks the sentinels of a service for its primary.
//! - [`switch`]: notices that they name another one.

mod agreement;
pub(super) mod cluster;
pub(super) mod role;
pub(super) mod sentinels;
pub(super) mod switch;
mod unanswered;

use std::time::Duration;

use ::redis::{RedisError, RedisResult, make_extension_error};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::connection_string::Server;

/// The code of an error of this crate's own: the server that was found is no primary, or cannot be reached. Another is likely
/// to be named soon.
pub(super) const NO_PRIMARY: &str = "NOPRIMARY";

fn no_primary(detail: String) -> RedisError {
    make_extension_error(NO_PRIMARY.to_owned(), Some(detail))
}

/// What each of several servers has replied.
pub(super) type Replies<T> = Vec<(Server, RedisResult<T>)>;

/// Whether one of several servers has replied.
pub(super) fn has_reply<T>(replies: &Replies<T>) -> bool {
    replies.iter().any(|(_, reply)| reply.is_ok())
}

/// Asks several servers at once. Ends when all have replied, after `limit`, or once the replies have been enough for as long as
/// `grace` says. Returns what each of them has replied by then, or that it was silent for the limit.
pub(super) async fn ask_each<T, F: Future<Output = RedisResult<T>>>(
    servers: Vec<Server>,
    limit: Duration,
    grace: Duration,
    ask: impl Fn(Server) -> F,
    is_enough: impl Fn(&Replies<T>) -> bool,
) -> Replies<T> {
    let ask_one = |server: Server| {
        let reply = timeout(limit, ask(server.clone()));
        async {
            (server, reply.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())))
        }
    };
    let mut asked: FuturesUnordered<_> = servers.into_iter().map(ask_one).collect();
    let (longest, mut enough_since) = (Instant::now() + limit, None);
    let mut replies = Vec::new();
    loop {
        let until = enough_since.map_or(longest, |since: Instant| longest.min(since + grace));
        let Ok(Some(reply)) = timeout_at(until, asked.next()).await else { break };
        replies.push(reply);
        // One more reply may contradict those before it.
        enough_since = if is_enough(&replies) { enough_since.or_else(|| Some(Instant::now())) } else { None };
    }
    replies
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
        no_primary(format!(
            "{server} is named as the primary, and cannot be reached: {error} (if that address is never reachable from here, \
             as behind NAT: replica-announce-ip on the servers, and sentinel announce-ip)"
        ))
    } else {
        of_server(server, error)
    }
}
