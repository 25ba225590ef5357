//! A primary with replicas, and sentinels that watch them.

mod builder;
mod views;

use std::time::Instant;

use redis::cmd;

pub(crate) use builder::SentinelSetBuilder;

use super::RedisServer;
use super::polls::until;

/// The name under which sentinels know the set.
const SERVICE: &str = "locks";

/// A running set. All its processes end when this is dropped or the test process ends.
///
/// After an attempt at a failover the sentinels do not try again for four seconds, unless by [`fail_over`].
///
/// [`fail_over`]: Self::fail_over
#[derive(Debug)]
pub(crate) struct SentinelSet {
    settings: SentinelSetBuilder,
    // Dropped in this order: the sentinels do not see the nodes end.
    sentinels: Vec<RedisServer>,
    nodes: Vec<RedisServer>,
}

impl SentinelSet {
    /// One replica, three sentinels, no passwords.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    pub(crate) fn builder() -> SentinelSetBuilder {
        SentinelSetBuilder::default()
    }

    /// All sentinels and the service, with the passwords of the default users: `redis+sentinel://…`, or
    /// `rediss+sentinel://…` with TLS.
    pub(crate) fn connection_string(&self) -> String {
        self.connection_string_with(&self.settings.node.credentials())
    }

    /// As [`connection_string`](Self::connection_string), for a user of the nodes.
    pub(crate) fn connection_string_as(&self, user: &str, password: &str) -> String {
        self.connection_string_with(&format!("{user}:{password}@"))
    }

    fn connection_string_with(&self, credentials: &str) -> String {
        let SentinelSetBuilder { node, sentinel, .. } = &self.settings;
        let hosts: Vec<String> = self.sentinel_ports().iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let query = sentinel.password.as_ref().map(|password| format!("?sentinel_password={password}"));
        format!("{}+sentinel://{credentials}{}/{SERVICE}{}", node.scheme(), hosts.join(","), query.unwrap_or_default())
    }

    pub(crate) fn sentinel_ports(&self) -> Vec<u16> {
        self.sentinels.iter().map(RedisServer::port).collect()
    }

    /// The primary and the replicas: the first one was the primary at the start.
    pub(crate) fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    pub(crate) fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The node that the sentinels name now, or most of those that run.
    pub(crate) fn primary(&self) -> (usize, &RedisServer) {
        let named = self.named();
        let votes = |index: &usize| named.iter().filter(|other| **other == Some(*index)).count();
        let primary = (0..self.nodes.len()).max_by_key(votes).filter(|index| votes(index) > 0);
        let primary = primary.expect("a sentinel runs and names a primary");
        (primary, &self.nodes[primary])
    }

    /// Ends the primary as a crash does. Returns which one it was.
    pub(crate) fn kill_primary(&self) -> usize {
        let (index, primary) = self.primary();
        primary.kill();
        index
    }

    /// Freezes the primary (SIGSTOP). Returns which one it was.
    pub(crate) fn stop_primary(&self) -> usize {
        let (index, primary) = self.primary();
        primary.stop();
        index
    }

    /// Lets a node go on after [`stop_primary`](Self::stop_primary). It is what it was before, until the sentinels
    /// make a replica of it.
    pub(crate) fn resume(&self, index: usize) {
        self.nodes[index].resume();
    }

    /// Starts a killed node; returns when it answers. It is what it was before, until the sentinels make a replica of
    /// it: see [`SentinelSetBuilder::hello_period`].
    pub(crate) fn start_again(&self, index: usize) {
        self.nodes[index].start_again();
    }

    /// Has the sentinels replace a primary that works (`SENTINEL FAILOVER`), as soon as they are done with the failover
    /// before it. Returns which one it was.
    pub(crate) async fn fail_over(&self) -> usize {
        let (index, _) = self.primary();
        let sentinel = self.running_sentinels().next().expect("a sentinel runs");
        let mut command = cmd("SENTINEL");
        command.arg("FAILOVER").arg(SERVICE);
        let look = || sentinel.try_to_ask::<()>(&command).map_err(|error| error.to_string());
        until("the sentinels begin a failover", look).await;
        index
    }

    /// Waits until all sentinels that run name another primary, which knows that it is one. Returns which one that is,
    /// and when the first sentinel named it.
    pub(crate) async fn until_promoted(&self, other_than: usize) -> (usize, Instant) {
        let mut first = None;
        let look = || {
            let named = self.named();
            if first.is_none_or(|(index, _)| !named.contains(&Some(index))) {
                let other = named.iter().flatten().find(|index| **index != other_than);
                first = other.map(|index| (*index, Instant::now()));
            }
            first
                .filter(|(index, _)| named.iter().all(|other| *other == Some(*index)))
                .filter(|(index, _)| self.nodes[*index].replication("role").as_deref() == Some("master"))
                .ok_or_else(|| format!("the sentinels name {named:?}: {:?}", self.logs()))
        };
        until("another node is the primary", look).await
    }

    /// Waits until a node is a replica of the present primary and in sync with it, and all sentinels that run know so.
    /// A failover before that could be undone: they would make it a replica once more.
    pub(crate) async fn until_replica(&self, index: usize) {
        let look = || {
            let (_, primary) = self.primary();
            let seen = ["role", "master_port", "master_link_status"].map(|field| self.nodes[index].replication(field));
            let wanted = ["slave", &primary.port().to_string(), "up"].map(|value| Some(value.to_owned()));
            let known = self.is_known_as_replica(index);
            if seen == wanted && known { Ok(()) } else { Err(format!("it says {seen:?}: {:?}", self.logs())) }
        };
        until("the node is a replica in sync", look).await;
    }

    pub(crate) fn kill_sentinel(&self, index: usize) {
        self.sentinels[index].kill();
    }

    pub(crate) fn kill_all_sentinels(&self) {
        self.sentinels.iter().for_each(RedisServer::kill);
    }

    /// Starts a killed sentinel; returns when it answers. It has what it knew.
    pub(crate) fn start_sentinel_again(&self, index: usize) {
        self.sentinels[index].start_again();
        self.quicken(&self.sentinels[index]);
    }

    /// Freezes a sentinel (SIGSTOP).
    pub(crate) fn stop_sentinel(&self, index: usize) {
        self.sentinels[index].stop();
    }
}
