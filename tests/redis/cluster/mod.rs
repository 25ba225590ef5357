//! Locks on a Redis Cluster: real nodes, each a process of its own.

mod ending;
mod failover;
mod moves;
mod serving;
mod setup;

use std::time::Duration;

use orchestrix_locking::{DistributedLock, LockOptions, RedisLockProvider};

use crate::fixtures::provider_at;
use crate::support::{RedisCluster, RedisServer};

/// Longer than a failover takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn provider(cluster: &RedisCluster) -> RedisLockProvider {
    provider_at(&cluster.connection_string())
}

fn lock(provider: &RedisLockProvider, name: &str) -> DistributedLock {
    use orchestrix_locking::DistributedLockProvider as _;
    provider.create_lock(name.try_into().unwrap(), LockOptions::default().ttl(Duration::from_secs(10))).unwrap()
}

/// The slot of a lock's key, as the nodes compute it.
pub(crate) fn slot_of(cluster: &RedisCluster, name: &str) -> u16 {
    let key = format!("orchestrix:lock:{name}");
    let running = cluster.nodes().iter().find(|node| node.is_running()).unwrap();
    running.ask(redis::cmd("CLUSTER").arg("KEYSLOT").arg(key))
}

/// Names whose slots this node serves.
pub(crate) fn names_on(cluster: &RedisCluster, node: usize, count: usize) -> Vec<String> {
    let all = (0..10_000).map(|number| format!("job:{number}"));
    let names: Vec<_> = all.filter(|name| cluster.master_of_slot(slot_of(cluster, name)) == node).take(count).collect();
    assert_eq!(names.len(), count);
    names
}

fn name_on(cluster: &RedisCluster, node: usize) -> String {
    names_on(cluster, node, 1).remove(0)
}

/// The keys of locks on all running masters, without fences.
fn keys(cluster: &RedisCluster) -> Vec<String> {
    let running = cluster.nodes().iter().filter(|node| node.is_running());
    let mut keys: Vec<_> = running.flat_map(RedisServer::keys).filter(|key| !key.ends_with("}:f")).collect();
    keys.sort();
    keys.dedup();
    keys
}
