//! What sentinels say.

use std::collections::BTreeMap;

use redis::cmd;

use super::super::RedisServer;
use super::{SERVICE, SentinelSet};

type Fields = BTreeMap<String, String>;

impl SentinelSet {
    pub(super) fn running_sentinels(&self) -> impl Iterator<Item = &RedisServer> {
        self.sentinels.iter().filter(|sentinel| sentinel.is_running())
    }

    /// Which node each sentinel that runs names as the primary.
    pub(super) fn named(&self) -> Vec<Option<usize>> {
        self.running_sentinels()
            .map(|sentinel| {
                let mut command = cmd("SENTINEL");
                let command = command.arg("GET-MASTER-ADDR-BY-NAME").arg(SERVICE);
                let (_, port) = sentinel.try_to_ask::<(String, u16)>(command).ok()?;
                self.nodes.iter().position(|node| node.port() == port)
            })
            .collect()
    }

    /// Whether each sentinel that runs knows that this node is a replica, and could promote it.
    pub(super) fn is_known_as_replica(&self, index: usize) -> bool {
        let port = self.nodes[index].port().to_string();
        let known = |replicas: Vec<Fields>| replicas.iter().any(|replica| replica["port"] == port && in_sync(replica));
        self.running_sentinels().all(|sentinel| known(known_to(sentinel, "REPLICAS")))
    }

    /// Whether each sentinel is in touch with all replicas and with all other sentinels.
    pub(super) fn is_complete(&self) -> Result<(), String> {
        for sentinel in &self.sentinels {
            let (replicas, others) = (known_to(sentinel, "REPLICAS"), known_to(sentinel, "SENTINELS"));
            let complete = replicas.iter().filter(|replica| in_sync(replica)).count() == self.nodes.len() - 1
                && others.iter().filter(|other| other["flags"] == "sentinel").count() == self.sentinels.len() - 1;
            if !complete {
                return Err(format!("replicas {replicas:?}, sentinels {others:?}: {:?}", self.logs()));
            }
        }
        Ok(())
    }

    /// What all wrote since their starts.
    pub(super) fn logs(&self) -> Vec<String> {
        self.nodes.iter().chain(&self.sentinels).map(RedisServer::log).collect()
    }
}

/// Other flags than this one say that it is down, or that there is no connection to it.
fn in_sync(replica: &Fields) -> bool {
    replica["flags"] == "slave" && replica["role-reported"] == "slave" && replica["master-link-status"] == "ok"
}

fn known_to(sentinel: &RedisServer, what: &str) -> Vec<Fields> {
    sentinel.try_to_ask(cmd("SENTINEL").arg(what).arg(SERVICE)).unwrap_or_default()
}
