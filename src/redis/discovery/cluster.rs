//! [`ClusterNodes`]: asks the nodes of a cluster which of them serves which slots.
//!
//! Several are asked at once. A node that was cut off has an old map, so that of several answers the one of the latest epoch
//! counts (`cluster_current_epoch`, which rises with every failover and move; see the Redis cluster specification).

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::{Client, ErrorKind, RedisError, RedisResult, Value};
use parking_lot::Mutex;

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
    pub(in crate::redis) replicas: Vec<Server>,
}

/// The nodes that are known.
#[derive(Debug, Default)]
pub(in crate::redis) struct ClusterNodes {
    known: Mutex<Vec<Server>>,
    /// Those that are asked first the next time are others.
    turn: AtomicUsize,
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
        let ask_one = |node| async move { ask(settings, &node).await };
        let (limit, nodes) = (settings.connect_timeout / 2, self.some(settings.servers.named()));
        let (mut latest, mut failures) = (None::<SlotMap>, Vec::new());
        for (node, answer) in super::ask_each(nodes, limit, GRACE, ask_one, super::has_reply).await {
            match answer {
                Ok(map) if latest.as_ref().is_none_or(|latest| latest.epoch < map.epoch) => latest = Some(map),
                Ok(_) => {}
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

    /// Some of the known nodes and some of the named ones, others each time.
    fn some(&self, named: &[Server]) -> Vec<Server> {
        let turn = self.turn.fetch_add(1, Relaxed);
        let from = |servers: &[Server]| {
            let mut servers = servers.to_vec();
            let first = turn.checked_rem(servers.len()).unwrap_or(0);
            servers.rotate_left(first);
            servers
        };
        let mut nodes = from(&self.known.lock());
        // Some places are kept for the named ones: all others may have gone with their addresses.
        nodes.truncate(MOST - named.len().min(MOST / 2));
        for server in from(named) {
            if !nodes.contains(&server) {
                nodes.push(server);
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
    #[cfg(test)]
    pub(in crate::redis) fn of(epoch: u64, ranges: Vec<(u16, u16, Server)>) -> Self {
        Self { epoch, ranges, replicas: Vec::new() }
    }

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
    let client = Client::open(settings.info(node)?)?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&settings.connection_config()).await?;
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

    /// All named nodes are asked in time, also where there are many, and while many others are known.
    #[test]
    fn every_named_node_is_asked_in_time() {
        let named: Vec<_> = (0..10).map(|port| node("named", port)).collect();
        for known in [0, 20] {
            let nodes = ClusterNodes::default();
            *nodes.known.lock() = (0..known).map(|port| node("known", port)).collect();
            let asked: Vec<_> = (0..10).flat_map(|_| nodes.some(&named)).collect();
            assert!(named.iter().all(|node| asked.contains(node)));
            assert!((0..10).all(|_| nodes.some(&named).len() == MOST));
        }
    }

    #[test]
    fn the_epoch_is_read() {
        assert_eq!(epoch_in("cluster_state:ok\r\ncluster_current_epoch:12\r\ncluster_my_epoch:3\r\n"), Some(12));
        assert_eq!(epoch_in(""), None);
    }
}
