//! Masters that have the slots among them, and their replicas.

mod builder;
mod moves;
mod slots;
mod views;

use std::ops::Range;
use std::time::Instant;

use redis::cmd;

pub(crate) use builder::RedisClusterBuilder;
pub(super) use slots::nodes_conf;

use super::RedisServer;
use super::polls::until;

/// How many slots there are.
const SLOTS: u16 = 16_384;

/// A running cluster. All its processes end when this is dropped or the test process ends.
///
/// The first nodes are the masters at the start, each of a shard; then come the replicas of the first, and so on.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    settings: RedisClusterBuilder,
    nodes: Vec<RedisServer>,
    /// By which the nodes know each other.
    ids: Vec<String>,
}

impl RedisCluster {
    /// Three masters with one replica each, no passwords.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    pub(crate) fn builder() -> RedisClusterBuilder {
        RedisClusterBuilder::default()
    }

    /// All nodes, with the password of the default user: `redis+cluster://…`, or `rediss+cluster://…` with TLS.
    pub(crate) fn connection_string(&self) -> String {
        self.connection_string_with(&self.settings.node.credentials())
    }

    /// As [`connection_string`](Self::connection_string), for another user.
    pub(crate) fn connection_string_as(&self, user: &str, password: &str) -> String {
        self.connection_string_with(&format!("{user}:{password}@"))
    }

    fn connection_string_with(&self, credentials: &str) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("{}+cluster://{credentials}{}", self.settings.node.scheme(), hosts.join(","))
    }

    pub(crate) fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The node that serves this slot, as most of the running nodes have it.
    pub(crate) fn master_of_slot(&self, slot: u16) -> usize {
        let named = self.named(slot);
        let votes = |index: &usize| named.iter().filter(|other| **other == Some(*index)).count();
        let master = (0..self.nodes.len()).max_by_key(votes).filter(|index| votes(index) > 0);
        master.expect("a node runs and knows who serves the slot")
    }

    /// Ends a node as a crash does.
    pub(crate) fn kill(&self, index: usize) {
        self.nodes[index].kill();
    }

    /// Freezes a node (SIGSTOP).
    pub(crate) fn stop(&self, index: usize) {
        self.nodes[index].stop();
    }

    /// Lets a node go on. It is what it was before, until it hears of the others.
    pub(crate) fn resume(&self, index: usize) {
        self.nodes[index].resume();
    }

    /// Starts a killed node; returns when it answers. As a master it serves nothing in its first two seconds, in which
    /// it hears if there is another one.
    pub(crate) fn start_again(&self, index: usize) {
        self.nodes[index].start_again();
    }

    /// Waits until another node serves this slot and all nodes that run know it. Returns which one that is, and since
    /// when it serves the slot.
    pub(crate) async fn until_served(&self, slot: u16, other_than: usize) -> (usize, Instant) {
        let mut first = None;
        let look = || {
            if first.is_none() {
                let others = (0..self.nodes.len()).filter(|index| *index != other_than);
                first = others.into_iter().find(|index| self.serves(*index, slot)).map(|index| (index, Instant::now()));
            }
            let named = self.named(slot);
            first
                .filter(|(index, _)| named.iter().all(|other| *other == Some(*index)))
                .ok_or_else(|| format!("{named:?} are named: {:?}", self.logs()))
        };
        until("another node serves the slot", look).await
    }

    /// Waits until all nodes run, each is in touch with all others, each slot is served, and all replicas are in sync.
    pub(crate) async fn until_complete(&self) {
        until("the cluster is complete", || self.is_complete()).await;
    }

    /// Has a replica of this shard take its master's place (`CLUSTER FAILOVER`). The master lets it have all writes first, and
    /// takes none meanwhile. Returns which replica; it may not have done so yet.
    pub(crate) fn fail_over_by_hand(&self, shard: usize) -> usize {
        let mut nodes = std::iter::once(shard).chain(self.replicas_at_start(shard));
        let replica = nodes.find(|index| self.nodes[*index].replication("role").as_deref() == Some("slave"));
        let replica = replica.expect("a replica of the shard runs");
        self.nodes[replica].ask::<()>(cmd("CLUSTER").arg("FAILOVER"));
        replica
    }

    fn replicas_at_start(&self, shard: usize) -> Range<usize> {
        let RedisClusterBuilder { masters, replicas, .. } = self.settings;
        let first = masters + shard * replicas;
        first..first + replicas
    }
}
