//! How a cluster is found, and what is told of one that cannot be used.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider as _, RedisLockOptions, RedisLockProvider};

use super::{lock, provider_at};
use crate::outages::scene::{SOON, backend, unavailable};
use crate::support::{Certificates, RedisCluster, RedisServer};

/// The address of one node is enough, in each form of the string, and `check` asks all nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_found_by_any_of_its_nodes() {
    let cluster = RedisCluster::start();
    let ports: Vec<_> = cluster.nodes().iter().map(RedisServer::port).collect();
    for text in [
        format!("redis://127.0.0.1:{}", ports[1]),
        format!("redis://127.0.0.1:{}", ports[4]),
        format!("127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1], ports[2]),
        format!("127.0.0.1:{},127.0.0.1:{}", ports[0], ports[3]),
        format!("redis+cluster://127.0.0.1:{}", ports[5]),
        format!("redis+cluster://127.0.0.1:1,127.0.0.1:{}", ports[2]),
        cluster.connection_string(),
    ] {
        let provider = provider_at(&text);
        provider.check().await.unwrap_or_else(|error| panic!("{text}: {error}"));
        for number in 0..10 {
            let guard = lock(&provider, &format!("order:{number}")).try_acquire(SOON).await.unwrap().unwrap();
            guard.release().await.unwrap();
        }
        provider.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_password_of_the_nodes_is_needed_and_never_shown() {
    let cluster = RedisCluster::builder().masters(3).replicas(0).password("c4n4ry").start();
    let provider = provider_at(&cluster.connection_string());
    lock(&provider, "order:1").try_acquire(SOON).await.unwrap().unwrap().release().await.unwrap();
    let port = cluster.nodes()[0].port();
    let text = backend(
        lock(&provider_at(&format!("redis+cluster://127.0.0.1:{port}")), "a").try_acquire(SOON).await,
        "NOAUTH",
    );
    assert!(text.contains(&port.to_string()), "{text}");
    let wrong = provider_at(&format!("redis+cluster://:wr0ng@127.0.0.1:{port}"));
    let text = backend(lock(&wrong, "a").try_acquire(SOON).await, "WRONGPASS");
    assert!(!text.contains("wr0ng") && !text.contains("c4n4ry"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_reached_over_tls() {
    let certificates = Certificates::new();
    let cluster = RedisCluster::builder().replicas(0).tls(&certificates).start();
    let options = RedisLockOptions::default()
        .connection_string(cluster.connection_string())
        .tls_root_certificates(std::fs::read(certificates.authority()).unwrap());
    let provider = RedisLockProvider::new(options).unwrap();
    for number in 0..10 {
        let guard = lock(&provider, &format!("order:{number}")).try_acquire(SOON).await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
    assert!(cluster.nodes().iter().all(|node| node.scripts_run() > 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_cluster_is_told() {
    let server = RedisServer::start();
    let provider = provider_at(&format!("redis+cluster://127.0.0.1:{}", server.port()));
    let error = lock(&provider, "a").try_acquire(SOON).await.unwrap_err().to_string();
    assert!(error.contains("cluster support disabled") && error.contains(&server.port().to_string()), "{error}");
    let provider = provider_at("redis+cluster://127.0.0.1:1,127.0.0.1:2");
    let text = unavailable(lock(&provider, "a").try_acquire(SOON).await);
    assert!(text.contains("127.0.0.1:1,127.0.0.1:2"), "{text}");
}

/// Slots that no node serves: their names are waited for within the caller's time, all others work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_uncovered_slots_are_waited_for() {
    let cluster = RedisCluster::builder().masters(3).replicas(0).require_full_coverage(false).start();
    let (there, gone) = (super::name_on(&cluster, 0), super::name_on(&cluster, 2));
    let slot = super::slot_of(&cluster, &gone);
    for node in cluster.nodes() {
        node.cli(&["CLUSTER", "DELSLOTS", &slot.to_string()]);
    }
    let provider = provider_at(&cluster.connection_string());
    let begun = std::time::Instant::now();
    let text = unavailable(lock(&provider, &gone).try_acquire(Duration::from_millis(1_500)).await);
    assert!(begun.elapsed() >= Duration::from_millis(1_450), "{:?}: {text}", begun.elapsed());
    assert!(text.contains("CLUSTERDOWN") || text.contains("slot"), "{text}");
    lock(&provider, &there).try_acquire(SOON).await.unwrap().unwrap().release().await.unwrap();
    cluster.nodes()[0].cli(&["CLUSTER", "ADDSLOTS", &slot.to_string()]);
    lock(&provider, &gone).try_acquire(SOON).await.unwrap().unwrap().release().await.unwrap();
}
