//! [`OnRedis`]: a provider under the conformance kit, on servers of its own.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::sync::{Arc, Mutex, OnceLock};

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::{DistributedLockProvider, RedisLockOptions, RedisLockProvider, Resource};

use crate::support::{RedisCluster, RedisServer, SentinelSet};

const USER: &str = "locks";
const PASSWORD: &str = "secret";

/// The servers of one case.
enum Servers {
    One(RedisServer),
    Sentinel(Box<SentinelSet>),
    Cluster(RedisCluster),
}

impl Servers {
    /// Those that grant locks.
    fn primaries(&self) -> Vec<&RedisServer> {
        match self {
            Self::One(server) => vec![server],
            Self::Sentinel(set) => vec![set.primary().1],
            Self::Cluster(cluster) => cluster.nodes().iter().collect(),
        }
    }

    /// They crash, and begin anew without data.
    fn restart(&self) {
        let primaries = self.primaries();
        for server in &primaries {
            server.kill();
        }
        for server in &primaries {
            server.start_again();
        }
    }
}

/// The servers, and the one provider of a case on them.
pub(crate) struct OnRedis {
    servers: Servers,
    url: String,
    provider: OnceLock<RedisLockProvider>,
    others: Mutex<Vec<RedisLockProvider>>,
    /// Which refusals by the server are all right, by their reason.
    may_be_refused: Option<&'static str>,
}

impl OnRedis {
    /// As a user who may do everything.
    pub(crate) fn new() -> Self {
        let server = RedisServer::start();
        Self::at(server.url(), Servers::One(server), None)
    }

    /// A primary, a replica, and three sentinels.
    pub(crate) fn with_sentinels() -> Self {
        let set = SentinelSet::start();
        Self::at(set.connection_string(), Servers::Sentinel(Box::new(set)), None)
    }

    /// A cluster of three nodes.
    pub(crate) fn in_cluster() -> Self {
        let cluster = RedisCluster::builder().replicas(0).start();
        Self::at(cluster.connection_string(), Servers::Cluster(cluster), None)
    }

    fn at(url: String, servers: Servers, may_be_refused: Option<&'static str>) -> Self {
        Self { url, servers, provider: OnceLock::new(), others: Mutex::default(), may_be_refused }
    }

    /// As a user with these rules alone, who is refused nothing, but for this reason.
    pub(crate) fn restricted(rules: &[&str], may_be_refused: Option<&'static str>) -> Self {
        let user = format!("{USER} on >{PASSWORD} resetchannels -@all {}", rules.join(" "));
        let server = RedisServer::builder().user_acl(&user).start();
        Self::at(server.url_as(USER, PASSWORD), Servers::One(server), may_be_refused)
    }
}

impl OnRedis {
    fn new_provider(&self) -> RedisLockProvider {
        RedisLockProvider::new(RedisLockOptions::default().connection_string(self.url.as_str())).unwrap()
    }

    fn providers(&self) -> Vec<RedisLockProvider> {
        self.provider.get().into_iter().chain(self.others.lock().unwrap().iter()).cloned().collect()
    }
}

impl Subject for OnRedis {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        Arc::new(self.provider.get_or_init(|| self.new_provider()).clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.providers().iter().map(|provider| provider.waiters(resource)).sum()
    }

    /// What the process knows, and every key but the fences, which outlive their locks on purpose.
    async fn leftovers(&self) -> usize {
        let kept: usize = self.providers().iter().map(RedisLockProvider::len).sum();
        let keys = self.servers.primaries().into_iter().flat_map(RedisServer::keys);
        kept + keys.filter(|key| !key.ends_with("}:f")).count()
    }

    async fn another(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        let another = self.new_provider();
        self.others.lock().unwrap().push(another.clone());
        Some(Arc::new(another))
    }

    /// As after a crash of servers that write nothing to disk.
    async fn restart(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        self.servers.restart();
        Some(Arc::new(self.provider.get()?.clone()))
    }

    /// Scripts, which are all that is sent for locks. Without channels waiters ask again and again, and nothing is
    /// promised of how often.
    async fn commands(&self) -> Option<u64> {
        (self.may_be_refused != Some("channel"))
            .then(|| self.servers.primaries().into_iter().map(RedisServer::scripts_run).sum())
    }
}

impl Drop for OnRedis {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        // Whatever the provider did in the case, it never tried what it may not.
        let refused: Vec<_> = self.servers.primaries().into_iter().flat_map(RedisServer::acl_log).collect();
        let expected = |reason: &str| self.may_be_refused.is_some_and(|expected| expected == reason);
        assert!(refused.iter().all(|entry| expected(&entry["reason"])), "{refused:?}");
    }
}
