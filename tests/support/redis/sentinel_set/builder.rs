//! What a set is started with, and its start.

use std::time::Duration;

use redis::cmd;

use super::super::builder::{SUPPORT_PASSWORD, SUPPORT_USER};
use super::super::polls::block_until;
use super::super::{Certificates, RedisServer, RedisServerBuilder};
use super::{SERVICE, SentinelSet};

/// Settings of a set: `SentinelSet::builder()`.
#[derive(Debug, Clone)]
pub(crate) struct SentinelSetBuilder {
    pub(super) replicas: usize,
    pub(super) sentinels: usize,
    pub(super) quorum: usize,
    pub(super) down_after: Duration,
    pub(super) hello_period: Duration,
    pub(super) node: RedisServerBuilder,
    pub(super) sentinel: RedisServerBuilder,
}

impl Default for SentinelSetBuilder {
    fn default() -> Self {
        Self {
            replicas: 1,
            sentinels: 3,
            quorum: 2,
            down_after: Duration::from_secs(1),
            hello_period: Duration::from_millis(500),
            node: RedisServer::builder().of_several(),
            sentinel: RedisServer::builder()
                .sentinel()
                .config("loglevel", "notice")
                .config("sentinel", &format!("sentinel-user {SUPPORT_USER}"))
                .config("sentinel", &format!("sentinel-pass {SUPPORT_PASSWORD}")),
        }
    }
}

impl SentinelSetBuilder {
    pub(crate) fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How many sentinels there are. Half of them and one more have to live for a failover.
    pub(crate) fn sentinels(mut self, sentinels: usize) -> Self {
        self.sentinels = sentinels;
        self
    }

    /// How many sentinels must miss the primary before they replace it.
    pub(crate) fn quorum(mut self, quorum: usize) -> Self {
        self.quorum = quorum;
        self
    }

    /// For how long a node does not answer before a sentinel counts it as down. Sentinels that are not needed for the
    /// quorum wait twice as long: they are not candidates too, and votes do not split.
    ///
    /// Less than half a second is too short: a sentinel needs most of that to connect to a new primary.
    pub(crate) fn down_after(mut self, down_after: Duration) -> Self {
        self.down_after = down_after;
        self
    }

    /// How often sentinels tell each other what they know, instead of every two seconds.
    ///
    /// A former primary that comes back takes writes until the sentinels make it a replica: for four times as long. That
    /// has to be more than the second or so that they need to notice a promotion, or they undo it.
    pub(crate) fn hello_period(mut self, hello_period: Duration) -> Self {
        self.hello_period = hello_period;
        self
    }

    /// The nodes' password for the default user.
    pub(crate) fn password(self, password: &str) -> Self {
        self.with_nodes(|node| node.password(password))
    }

    /// One more user of the nodes, as [`RedisServerBuilder::user_acl`] has it.
    pub(crate) fn user_acl(self, user: &str) -> Self {
        self.with_nodes(|node| node.user_acl(user))
    }

    /// The sentinels' password for the default user.
    pub(crate) fn sentinel_password(mut self, password: &str) -> Self {
        self.sentinel = self.sentinel.password(password);
        self
    }

    /// The nodes have their data after a kill.
    pub(crate) fn append_only(self) -> Self {
        self.with_nodes(RedisServerBuilder::append_only)
    }

    /// A primary takes writes only while this many replicas were heard of within so many seconds.
    pub(crate) fn min_replicas(self, to_write: usize, max_lag_seconds: u32) -> Self {
        self.config("min-replicas-to-write", &to_write.to_string())
            .config("min-replicas-max-lag", &max_lag_seconds.to_string())
    }

    /// One more line in the nodes' `redis.conf`. It wins over ours.
    pub(crate) fn config(self, name: &str, value: &str) -> Self {
        self.with_nodes(|node| node.config(name, value))
    }

    /// TLS on all ports of nodes and sentinels, and nothing else.
    pub(crate) fn tls(mut self, certificates: &Certificates) -> Self {
        self.sentinel = self.sentinel.tls(certificates).config("tls-replication", "yes");
        self.with_nodes(|node| node.tls(certificates).config("tls-replication", "yes"))
    }

    fn with_nodes(mut self, change: impl FnOnce(RedisServerBuilder) -> RedisServerBuilder) -> Self {
        self.node = change(self.node);
        self
    }

    /// Starts it, and returns when a failover would succeed: the replicas are in sync, and each sentinel knows them and
    /// the other sentinels.
    ///
    /// # Panics
    ///
    /// If there is no `redis-server`, it does not like its settings, or the set is not complete in time.
    pub(crate) fn start(self) -> SentinelSet {
        let primary = self.node.clone().start();
        let at_primary = format!("127.0.0.1 {}", primary.port());
        let replica = self.node.clone().config("replicaof", &at_primary);
        let mut nodes = vec![primary];
        nodes.extend((0..self.replicas).map(|_| replica.clone().start()));
        for replica in &nodes[1..] {
            block_until("a replica is in sync", || match replica.replication("master_link_status") {
                Some(status) if status == "up" => Ok(()),
                _ => Err(replica.log()),
            });
        }
        let sentinels = (0..self.sentinels).map(|index| self.sentinel_of(&at_primary, index).start()).collect();
        let set = SentinelSet { settings: self, sentinels, nodes };
        set.introduce_sentinels();
        block_until("each sentinel knows all", || set.is_complete());
        set
    }

    fn sentinel_of(&self, at_primary: &str, index: usize) -> RedisServerBuilder {
        let down_after = if index < self.quorum { self.down_after } else { self.down_after * 2 };
        [
            format!("monitor {SERVICE} {at_primary} {}", self.quorum),
            format!("auth-user {SERVICE} {SUPPORT_USER}"),
            format!("auth-pass {SERVICE} {SUPPORT_PASSWORD}"),
            format!("down-after-milliseconds {SERVICE} {}", down_after.as_millis()),
            format!("failover-timeout {SERVICE} 2000"),
            format!("parallel-syncs {SERVICE} 1"),
        ]
        .iter()
        .fold(self.sentinel.clone(), |sentinel, line| sentinel.config("sentinel", line))
    }
}

impl SentinelSet {
    /// Tells each sentinel of the others in the words they use themselves, instead of waiting for those.
    fn introduce_sentinels(&self) {
        let primary = self.nodes[0].port();
        for one in &self.sentinels {
            let id: String = one.ask(cmd("SENTINEL").arg("MYID"));
            let hello = format!("127.0.0.1,{},{id},0,{SERVICE},127.0.0.1,{primary},0", one.port());
            for other in self.sentinels.iter().filter(|other| other.port() != one.port()) {
                other.ask::<()>(cmd("PUBLISH").arg("__sentinel__:hello").arg(&hello));
            }
            self.quicken(one);
        }
    }

    /// Makes a sentinel do often what it does every second or less. It forgets this when it ends.
    pub(super) fn quicken(&self, sentinel: &RedisServer) {
        let hello_period = self.settings.hello_period.as_millis().to_string();
        let mut periods = cmd("SENTINEL");
        periods.arg("DEBUG").arg("PUBLISH-PERIOD").arg(hello_period);
        // For a replica to be promoted, what it last told must be no older than five pings, and it is asked every second.
        for (name, milliseconds) in [("PING-PERIOD", 300), ("ASK-PERIOD", 100), ("INFO-PERIOD", 1000)] {
            periods.arg(name).arg(milliseconds);
        }
        // For how long a sentinel does nothing after it was stopped itself.
        sentinel.ask::<()>(periods.arg("TILT-PERIOD").arg(1000));
    }
}
