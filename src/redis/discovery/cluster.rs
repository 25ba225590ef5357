//! [`ClusterNodes`]: asks the nodes of a cluster which of them serves which slots.
//!
//! Several are asked at once. A node that was cut off has an old map, so that of several answers the one of the latest epoch
//! counts (`cluster_current_epoch`, which rises with every failover and move; see the Redis cluster specification).

use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, Value};
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

use super::of_server;
use crate::redis::connection_string::Server;
use crate::redis::settings::Settings;
use crate::redis::slot::SLOTS;

/// How long other nodes are waited for once one has replied.
const GRACE: Duration = Duration::from_millis(50);

/// How many nodes are asked at once.
const MOST: usize = 6;

/// Which node serves which slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redis) struct SlotMap {
    /// Of the cluster, as the node that was asked knows it. 0 if it may not be asked.
    pub(in crate::redis) epoch: u64,
    /// First slot, last slot, primary.
    pub(in crate::redis) ranges: Vec<(u16, u16, Server)>,
    replicas: Vec<Server>,
}

/// The nodes that are known.
#[derive(Debug, Default)]
pub(in crate::redis) struct ClusterNodes {
    known: Mutex<Vec<Server>>,
    /// Those that are asked first the next time are others.
    turn: std::sync::atomic::AtomicUsize,
}

impl ClusterNodes {
    /// Asks for the map. It ends within half of the connect time-out.
    ///
    /// # Errors
    ///
    /// That of a node which refuses, or an I/O error if none replies in time.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub(in crate::redis) async fn map(&self, settings: &Settings) -> RedisResult<SlotMap> {
        let limit = settings.connect_timeout / 2;
        let ask_one = async |node: Server| {
            let answer = timeout(limit, ask(settings, &node)).await;
            (node, answer.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())))
        };
        let mut asked: FuturesUnordered<_> = self.some(settings.servers.named()).into_iter().map(ask_one).collect();
        let mut until = Instant::now() + limit;
        let (mut latest, mut failures) = (None::<SlotMap>, Vec::new());
        while let Ok(Some((node, answer))) = timeout_at(until, asked.next()).await {
            match answer {
                Ok(map) => {
                    if latest.is_none() {
                        until = until.min(Instant::now() + GRACE);
                    }
                    if latest.as_ref().is_none_or(|latest| latest.epoch < map.epoch) {
                        latest = Some(map);
                    }
                }
                Err(error) => failures.push(of_server(&node, &error)),
            }
        }
        if let Some(map) = &latest {
            *self.known.lock() = map.servers();
        }
        // What a node says counts more than that one did not reply.
        failures.sort_by_key(RedisError::is_io_error);
        latest.ok_or_else(|| failures.into_iter().next().unwrap_or_else(no_reply))
    }

    /// Some of the known nodes, others each time, with the named ones behind them.
    fn some(&self, named: &[Server]) -> Vec<Server> {
        let mut nodes = self.known.lock().clone();
        if !nodes.is_empty() {
            let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % nodes.len();
            nodes.rotate_left(turn);
        }
        // Some places are kept for the named ones: all others may have gone with their addresses.
        nodes.truncate(MOST - named.len().min(MOST / 2));
        for server in named {
            if !nodes.contains(server) {
                nodes.push(server.clone());
            }
        }
        nodes.truncate(MOST);
        nodes
    }
}

fn no_reply() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no node of the cluster has replied in time").into()
}

impl SlotMap {
    /// All nodes, primaries first, each once.
    fn servers(&self) -> Vec<Server> {
        let mut servers = Vec::new();
        for server in self.ranges.iter().map(|(_, _, primary)| primary).chain(&self.replicas) {
            if !servers.contains(server) {
                servers.push(server.clone());
            }
        }
        servers
    }
}

async fn ask(settings: &Settings, node: &Server) -> RedisResult<SlotMap> {
    if !matches!(node, Server::Tcp { .. }) {
        let text = "nodes of a cluster are connected to over TCP, and not over a Unix socket";
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, text)));
    }
    crate::redis::tls::ensure_crypto_provider();
    let client = Client::open(settings.info(node)?)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.connect_timeout))
        .set_response_timeout(Some(settings.response_timeout));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut pipeline = ::redis::pipe();
    pipeline.cmd("CLUSTER").arg("SLOTS").cmd("CLUSTER").arg("INFO");
    let mut replies = connection.req_packed_commands(&pipeline, 0, 2).await?.into_iter().map(Value::extract_error);
    let slots = replies.next().unwrap_or(Ok(Value::Nil))?;
    let info = replies.next().and_then(Result::ok).and_then(text);
    let epoch = info.as_deref().and_then(epoch_in).unwrap_or(0);
    let map = read(&slots, epoch, node)
        .ok_or_else(|| RedisError::from((ErrorKind::Parse, "the reply to CLUSTER SLOTS is none")))?;
    if map.ranges.is_empty() {
        return Err(RedisError::from((ErrorKind::InvalidClientConfig, "the cluster serves no slots")));
    }
    Ok(map)
}

fn epoch_in(info: &str) -> Option<u64> {
    info.lines()
        .find_map(|line| line.trim().strip_prefix("cluster_current_epoch:"))
        .and_then(|epoch| epoch.parse().ok())
}

/// Reads the reply to `CLUSTER SLOTS`: ranges of slots, each with its nodes, the primary first. A node without a host is at
/// that of the one which was asked.
fn read(reply: &Value, epoch: u64, asked: &Server) -> Option<SlotMap> {
    let Value::Array(ranges) = reply else { return None };
    let mut map = SlotMap { epoch, ranges: Vec::new(), replicas: Vec::new() };
    for range in ranges {
        let Value::Array(parts) = range else { return None };
        let [first, last, primary, replicas @ ..] = parts.as_slice() else { return None };
        let (first, last) = (slot(first)?, slot(last)?);
        map.ranges.push((first, last, server(primary, asked)?));
        map.replicas.extend(replicas.iter().filter_map(|replica| server(replica, asked)));
    }
    Some(map)
}

fn slot(value: &Value) -> Option<u16> {
    match value {
        Value::Int(slot) => u16::try_from(*slot).ok().filter(|slot| *slot < SLOTS),
        _ => None,
    }
}

fn server(value: &Value, asked: &Server) -> Option<Server> {
    let Value::Array(parts) = value else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let Server::Tcp { host: own, tls, .. } = asked else { return None };
    let host = text(host.clone()).filter(|host| !host.is_empty() && host != "?");
    super::address(host.as_ref().unwrap_or(own), &port.to_string(), *tls)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn node(host: &str, port: u16) -> Server {
        Server::Tcp { host: host.to_owned(), port, tls: false }
    }

    #[test]
    fn slots_are_read_with_their_nodes() {
        let host = |host: &str| Value::BulkString(host.as_bytes().to_vec());
        let of = |host: Value, port: i64| Value::Array(vec![host, Value::Int(port), Value::Okay]);
        let range = |first, last, nodes: Vec<Value>| {
            Value::Array([Value::Int(first), Value::Int(last)].into_iter().chain(nodes).collect())
        };
        let reply = Value::Array(vec![
            range(0, 99, vec![of(host("10.0.0.1"), 1), of(host("10.0.0.2"), 2)]),
            range(100, 16_383, vec![of(Value::Nil, 3), of(host(""), 4)]),
        ]);
        let map = read(&reply, 7, &node("h", 9)).unwrap();
        assert_eq!(map.ranges, [(0, 99, node("10.0.0.1", 1)), (100, 16_383, node("h", 3))]);
        assert_eq!(map.servers(), [node("10.0.0.1", 1), node("h", 3), node("10.0.0.2", 2), node("h", 4)]);
        for wrong in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![range(0, 1, vec![])]),
            Value::Array(vec![range(0, 16_384, vec![of(host("h"), 1)])]),
            Value::Array(vec![range(-1, 1, vec![of(host("h"), 1)])]),
            Value::Array(vec![range(0, 1, vec![of(host("h"), 0)])]),
        ] {
            assert_eq!(read(&wrong, 7, &node("h", 9)), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_epoch_is_read() {
        assert_eq!(epoch_in("cluster_state:ok\r\ncluster_current_epoch:12\r\ncluster_my_epoch:3\r\n"), Some(12));
        assert_eq!(epoch_in(""), None);
    }
}
