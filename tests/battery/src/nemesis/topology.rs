//! How the servers for the locks stand to each other.

use serde::Serialize;

use super::kind::{KINDS, Kind};
use crate::support::{RedisCluster, RedisServer, SentinelSet};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Topology {
    /// One server.
    #[default]
    Single,
    /// A primary, a replica, and three sentinels.
    Sentinel,
    /// Three masters with a replica each.
    Cluster,
}

impl Topology {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "single" => Some(Self::Single),
            "sentinel" => Some(Self::Sentinel),
            "cluster" => Some(Self::Cluster),
            _ => None,
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(crate) fn is_single(&self) -> bool {
        *self == Self::Single
    }

    /// All faults that it has.
    pub(crate) fn kinds(self) -> Vec<Kind> {
        const WORKER: [Kind; 3] = [Kind::WorkerStopped, Kind::WorkerKilled, Kind::WorkerBlocked];
        const FAILOVERS: [Kind; 2] = [Kind::PrimaryKilled, Kind::PrimaryFrozen];
        match self {
            Self::Single => KINDS.to_vec(),
            Self::Sentinel => [&WORKER[..], &FAILOVERS, &[Kind::SentinelFailover]].concat(),
            Self::Cluster => [&WORKER[..], &FAILOVERS, &[Kind::ClusterFailover, Kind::SlotsMoved]].concat(),
        }
    }
}

/// The servers for the locks.
#[derive(Debug)]
pub(crate) enum Locks {
    Single(Box<RedisServer>),
    Sentinel(Box<SentinelSet>),
    Cluster(Box<RedisCluster>),
}

impl Locks {
    pub(super) fn connection_string(&self) -> String {
        match self {
            Self::Single(server) => format!("127.0.0.1:{}", server.port()),
            Self::Sentinel(set) => set.connection_string(),
            Self::Cluster(cluster) => cluster.connection_string(),
        }
    }

    /// All that hold data. None of them may be down.
    pub(super) fn nodes(&self) -> &[RedisServer] {
        match self {
            Self::Single(server) => std::slice::from_ref(server.as_ref()),
            Self::Sentinel(set) => set.nodes(),
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// Those that take writes. None may be down.
    pub(super) fn masters(&self) -> Vec<&RedisServer> {
        let is_master = |node: &RedisServer| {
            let info: String = node.ask(redis::cmd("INFO").arg("replication"));
            info.contains("role:master")
        };
        match self {
            Self::Single(server) => vec![server],
            _ => self.nodes().iter().filter(|node| is_master(node)).collect(),
        }
    }
}
