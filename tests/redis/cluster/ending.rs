//! Programs that end right after they have dropped a guard, and providers that are closed.

use orchestrix_locking::DistributedLockProvider as _;

use super::{keys, lock, provider};
use crate::outages::ending::run_every_way;
use crate::outages::scene::{SOON, granted, until, wait_for};
use crate::support::RedisCluster;

#[test]
fn a_program_that_drops_its_guard_and_ends_leaves_no_key() {
    let cluster = RedisCluster::builder().replicas(0).start();
    run_every_way(&cluster.connection_string(), |way| {
        assert!(keys(&cluster).is_empty(), "{way}: {:?}", keys(&cluster));
    });
}

/// A closed provider has released everything on every node, and its waiters have ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_releases_the_locks_on_every_node() {
    let cluster = RedisCluster::builder().replicas(0).start();
    let (closed, other) = (provider(&cluster), provider(&cluster));
    let names: Vec<_> = (0..30).map(|number| format!("order:{number}")).collect();
    let mut held = Vec::new();
    for name in &names {
        held.push(lock(&closed, name).acquire().await.unwrap());
    }
    let waiting: Vec<_> = names.iter().map(|name| wait_for(&lock(&other, name), SOON)).collect();
    until("they wait", SOON, || other.waiters_in_total() == names.len()).await;
    closed.close().await;
    assert!(held.iter().all(|guard| !guard.is_held()));
    for task in waiting {
        granted(task).await.release().await.unwrap();
    }
    drop(held);
    until("nothing is left", SOON, || keys(&cluster).is_empty() && closed.is_empty() && other.is_empty()).await;
}

/// A provider that is dropped while it still finds out which node has which slots leaves no connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_dropped_early_leaves_no_connection() {
    let cluster = RedisCluster::builder().replicas(0).start();
    for round in 0..40 {
        let provider = provider(&cluster);
        let acquiring = wait_for(&lock(&provider, "order:1"), SOON);
        drop(provider);
        tokio::time::sleep(std::time::Duration::from_micros(250 * round)).await;
        acquiring.abort();
    }
    // Also those over which the nodes were asked for their slots.
    until("all are gone", SOON, || cluster.nodes().iter().all(|node| node.tcp_clients().is_empty())).await;
}
