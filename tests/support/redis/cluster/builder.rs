//! What a cluster is started with, and its start.

use redis::cmd;

use super::super::polls::block_until;
use super::super::{Certificates, RedisServer, RedisServerBuilder};
use super::{RedisCluster, SLOTS};

/// Settings of a cluster: `RedisCluster::builder()`.
#[derive(Debug, Clone)]
pub(crate) struct RedisClusterBuilder {
    pub(super) masters: usize,
    pub(super) replicas: usize,
    pub(super) node: RedisServerBuilder,
}

impl Default for RedisClusterBuilder {
    fn default() -> Self {
        let node = RedisServer::builder()
            .cluster()
            .of_several()
            .config("cluster-node-timeout", "1000")
            .config("cluster-allow-replica-migration", "no");
        Self { masters: 3, replicas: 1, node }.require_full_coverage(false)
    }
}

impl RedisClusterBuilder {
    /// Between how many masters the slots are divided. More than half of them must live for a replica to be elected, so
    /// with fewer than three no failure leads to a failover.
    pub(crate) fn masters(mut self, masters: usize) -> Self {
        self.masters = masters;
        self
    }

    /// How many replicas each master has.
    pub(crate) fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Whether no slot is served while one slot is not.
    pub(crate) fn require_full_coverage(self, required: bool) -> Self {
        self.config("cluster-require-full-coverage", if required { "yes" } else { "no" })
    }

    /// The password of the default user.
    pub(crate) fn password(self, password: &str) -> Self {
        self.with_nodes(|node| node.password(password))
    }

    /// One more user, as [`RedisServerBuilder::user_acl`] has it.
    pub(crate) fn user_acl(self, user: &str) -> Self {
        self.with_nodes(|node| node.user_acl(user))
    }

    /// The nodes have their data after a kill.
    pub(crate) fn append_only(self) -> Self {
        self.with_nodes(RedisServerBuilder::append_only)
    }

    /// TLS on all ports, those between the nodes too, and nothing else.
    pub(crate) fn tls(self, certificates: &Certificates) -> Self {
        // The nodes ask each other for a client's certificate, whatever they ask clients for.
        let client = certificates.client();
        self.with_nodes(|node| node.tls(certificates))
            .config("tls-replication", "yes")
            .config("tls-cluster", "yes")
            .config("tls-client-cert-file", &format!("\"{}\"", client.certificate.display()))
            .config("tls-client-key-file", &format!("\"{}\"", client.key.display()))
    }

    fn config(self, name: &str, value: &str) -> Self {
        self.with_nodes(|node| node.config(name, value))
    }

    fn with_nodes(mut self, change: impl FnOnce(RedisServerBuilder) -> RedisServerBuilder) -> Self {
        self.node = change(self.node);
        self
    }

    /// Starts it, and returns when a failover would succeed: each node knows all others and serves, or knows who does,
    /// and the replicas are in sync.
    ///
    /// # Panics
    ///
    /// If there is no `redis-server`, it does not like its settings, or the cluster is not complete in time.
    pub(crate) fn start(self) -> RedisCluster {
        let count = self.masters * (1 + self.replicas);
        let nodes: Vec<RedisServer> = (0..count).map(|index| self.start_node(index)).collect();
        let ids = nodes.iter().map(|node| node.ask(cmd("CLUSTER").arg("MYID"))).collect();
        let cluster = RedisCluster { settings: self, nodes, ids };
        cluster.introduce_nodes();
        cluster.attach_replicas();
        block_until("the cluster is complete", || cluster.is_complete());
        cluster
    }

    /// With its part of the slots, if it is to be a master.
    fn start_node(&self, index: usize) -> RedisServer {
        let node = self.node.clone().start();
        let first_slot = |master: usize| u16::try_from(usize::from(SLOTS) * master / self.masters).unwrap();
        if index < self.masters {
            node.take_slots(&[first_slot(index)..=first_slot(index + 1) - 1], index + 1);
        } else {
            node.take_slots(&[], 0);
        }
        node
    }
}

impl RedisCluster {
    fn introduce_nodes(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            let (_, bus): (String, u16) = node.ask(cmd("CONFIG").arg("GET").arg("cluster-port"));
            for other in &self.nodes[..index] {
                other.ask::<()>(cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(node.port()).arg(bus));
            }
        }
    }

    fn attach_replicas(&self) {
        for shard in 0..self.settings.masters {
            let mut replicate = cmd("CLUSTER");
            replicate.arg("REPLICATE").arg(&self.ids[shard]);
            for replica in self.replicas_at_start(shard) {
                // It is refused until the replica knows the master.
                let look = || self.nodes[replica].try_to_ask::<()>(&replicate).map_err(|error| error.to_string());
                block_until("a replica knows its master", look);
            }
        }
    }
}
