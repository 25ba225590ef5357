//! How a cluster is found, and what is told of one that cannot be used.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider as _, RedisLockOptions, RedisLockProvider, RedisWarning};

use super::lock;
use crate::fixtures::provider_at;
use crate::outages::scene::{SOON, backend, granted, unavailable, until, wait_for};
use crate::support::{Certificates, FEWEST_COMMANDS, FEWEST_KEYS, INBOXES, RedisCluster, RedisServer};

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
        format!("127.0.0.1:{},127.0.0.1:{}", ports[3], ports[4]),
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
        .tls_root_certificates(std::fs::read(certificates.authority()).unwrap())
        // Handshakes take long where a build without optimizations shares its processors.
        .response_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(10));
    let provider = RedisLockProvider::new(options).unwrap();
    for number in 0..10 {
        let guard = lock(&provider, &format!("order:{number}")).try_acquire(SOON).await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
    // More than the one script that each connection begins with.
    assert!(cluster.nodes().iter().all(|node| node.scripts_run() > 1));
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

/// Nothing is known of the cluster yet, and the only named node is silent: a call that does not wait ends in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_in_time_while_the_first_map_is_awaited() {
    let cluster = RedisCluster::builder().masters(1).replicas(0).start();
    cluster.stop(0);
    let options = RedisLockOptions::default()
        .connection_string(cluster.connection_string())
        .response_timeout(Duration::from_millis(300))
        .connect_timeout(Duration::from_secs(8));
    let provider = RedisLockProvider::new(options).unwrap();
    let waiting = wait_for(&lock(&provider, "order:1"), SOON);
    let begun = std::time::Instant::now();
    let text = unavailable(lock(&provider, "order:2").try_acquire(Duration::ZERO).await);
    assert!((290..1_500).contains(&begun.elapsed().as_millis()), "{:?}: {text}", begun.elapsed());
    // One with time enough waits for the outcome of the first attempt.
    assert!(!waiting.is_finished());
    cluster.resume(0);
    granted(waiting).await.release().await.unwrap();
}

/// Nodes behind NAT that announce an address which is not reachable from here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_address_that_cannot_be_reached_is_named_with_the_one_that_announces_it() {
    let cluster = RedisCluster::builder().masters(1).replicas(0).start();
    let node = &cluster.nodes()[0];
    node.cli(&["CONFIG", "SET", "cluster-announce-ip", "127.0.0.2"]);
    let is_announced = || node.cli(&["CLUSTER", "SLOTS"]).contains("127.0.0.2");
    until("it is announced", SOON, is_announced).await;
    for text in [cluster.connection_string(), node.url()] {
        let text = unavailable(lock(&provider_at(&text), "a").try_acquire(Duration::ZERO).await);
        for part in ["127.0.0.2", "127.0.0.1", "cluster-announce-ip", "Connection refused"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

/// Slots that no node serves: their names are waited for within the caller's time, all others work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_uncovered_slots_are_waited_for() {
    let cluster = RedisCluster::builder().masters(3).replicas(0).require_full_coverage(false).start();
    let (there, gone) = (super::name_on(&cluster, 0), super::name_on(&cluster, 2));
    let slot = super::slot_of(&cluster, &gone);
    // At its owner first, which would tell the others of it again.
    for node in cluster.nodes().iter().rev() {
        node.ask::<()>(redis::cmd("CLUSTER").arg("DELSLOTS").arg(slot));
    }
    let provider = provider_at(&cluster.connection_string());
    let begun = std::time::Instant::now();
    let text = unavailable(lock(&provider, &gone).try_acquire(Duration::from_millis(1_500)).await);
    assert!(begun.elapsed() >= Duration::from_millis(1_450), "{:?}: {text}", begun.elapsed());
    assert!(text.contains("CLUSTERDOWN") || text.contains("slot"), "{text}");
    lock(&provider, &there).try_acquire(SOON).await.unwrap().unwrap().release().await.unwrap();
    cluster.nodes()[0].ask::<()>(redis::cmd("CLUSTER").arg("ADDSLOTS").arg(slot));
    lock(&provider, &gone).try_acquire(SOON).await.unwrap().unwrap().release().await.unwrap();
}

/// Beside what one server needs, the map of the slots is read. With these permissions no node refuses anything.
const FEWEST_OF_CLUSTER: &str = "+cluster|slots +cluster|info";

fn with_user(more: &str) -> RedisCluster {
    let rules = format!("{FEWEST_COMMANDS} {FEWEST_KEYS} {INBOXES} {more}");
    RedisCluster::builder().user_acl(&format!("locks on >secret resetchannels -@all {rules}")).start()
}

/// Acquires, waits, hands over, renews and releases on every node.
async fn everything(cluster: &RedisCluster) {
    let text = cluster.connection_string_as("locks", "secret");
    let (one, other) = (provider_at(&text), provider_at(&text));
    one.check().await.unwrap();
    for node in 0..3 {
        let name = super::name_on(cluster, node);
        let held = lock(&one, &name).try_acquire(SOON).await.unwrap().unwrap();
        let waiting = wait_for(&lock(&other, &name), SOON);
        until("it waits", SOON, || other.waiters(&name.as_str().try_into().unwrap()) == 1).await;
        assert!(held.extend(Duration::from_secs(20)).await.unwrap());
        let queue = format!("{{orchestrix:lock:{name}}}:q");
        let length = || {
            cluster.nodes()[cluster.master_of_slot(super::slot_of(cluster, &name))]
                .ask::<usize>(redis::cmd("LLEN").arg(&queue))
        };
        until("the server knows", SOON, || length() == 1).await;
        held.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
    }
    until("nothing is left", SOON, || super::keys(cluster).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_permissions_are_enough() {
    let cluster = with_user(FEWEST_OF_CLUSTER);
    everything(&cluster).await;
    let slot = super::slot_of(&cluster, "order:1");
    cluster.move_slot(slot, (cluster.master_of_slot(slot) + 1) % 3);
    everything(&cluster).await;
    for node in cluster.nodes() {
        assert_eq!(node.acl_log(), [], "nothing was refused");
    }
}

/// Where scripts may not publish, waiters poll on every node, and the reason is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_work_without_permission_to_publish() {
    let rules = format!("{} {FEWEST_KEYS} {INBOXES} {FEWEST_OF_CLUSTER}", FEWEST_COMMANDS.replace("+publish ", ""));
    let user = format!("locks on >secret resetchannels -@all {rules}");
    let cluster = RedisCluster::builder().replicas(0).user_acl(&user).start();
    let provider = provider_at(&cluster.connection_string_as("locks", "secret"));
    let warnings = provider.warnings().await.unwrap();
    let [RedisWarning::MessagesRefused { why }] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(why.contains("can't run this command"), "{why}");
    for node in cluster.nodes() {
        let refused: Vec<_> = node.acl_log().into_iter().map(|line| line["object"].clone()).collect();
        assert_eq!(refused, ["publish"], "it was found out on each node");
    }
    everything(&cluster).await;
}

/// While a permission is taken away no call fails: neither the release, nor those that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_to_publish_that_is_taken_away_fails_no_call() {
    let cluster = with_user(FEWEST_OF_CLUSTER);
    let text = cluster.connection_string_as("locks", "secret");
    let (one, other) = (provider_at(&text), provider_at(&text));
    let held = lock(&one, "order:1").try_acquire(SOON).await.unwrap().unwrap();
    let waiting = wait_for(&lock(&other, "order:1"), SOON);
    let node = &cluster.nodes()[cluster.master_of_slot(super::slot_of(&cluster, "order:1"))];
    let length = || node.ask::<usize>(redis::cmd("LLEN").arg("{orchestrix:lock:order:1}:q"));
    until("the server knows", SOON, || length() == 1).await;
    for node in cluster.nodes() {
        node.cli(&["ACL", "SETUSER", "locks", "-publish"]);
    }
    held.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    until("nothing is left", SOON, || super::keys(&cluster).is_empty()).await;
}

/// Without the epoch the first node that replies is believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_work_without_permission_for_the_epoch() {
    let cluster = with_user("+cluster|slots");
    everything(&cluster).await;
    let refused: Vec<_> = cluster.nodes().iter().flat_map(RedisServer::acl_log).collect();
    assert!(!refused.is_empty() && refused.iter().all(|line| line["object"] == "cluster|info"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_missing_permission_for_the_slots_is_named() {
    let cluster = with_user("+cluster|info");
    let provider = provider_at(&cluster.connection_string_as("locks", "secret"));
    let text = backend(lock(&provider, "order:1").try_acquire(SOON).await, "NOPERM");
    assert!(text.contains("cluster|slots"), "{text}");
    let port = cluster.nodes()[0].port();
    let found = provider_at(&format!("redis://locks:secret@127.0.0.1:{port}"));
    let text = backend(lock(&found, "order:1").try_acquire(SOON).await, "NOPERM");
    assert!(text.contains("cluster|slots"), "{text}");
}

/// A node says under which address the others are reached, and not by which socket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_not_used_over_unix_sockets() {
    let cluster = RedisCluster::builder().masters(1).replicas(0).start();
    let provider = provider_at(&cluster.nodes()[0].socket_url());
    let text = backend(lock(&provider, "a").try_acquire(SOON).await, "over TCP, and not over a Unix socket");
    assert!(!text.contains("TLS"), "{text}");
}

/// A certificate is checked for the name that a node announces.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_tls_may_announce_names() {
    let certificates = Certificates::new();
    let cluster = RedisCluster::builder().replicas(0).tls(&certificates).start();
    for node in cluster.nodes() {
        node.cli(&["CONFIG", "SET", "cluster-announce-hostname", "localhost"]);
        node.cli(&["CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname"]);
    }
    let options = RedisLockOptions::default()
        .connection_string(format!("rediss://127.0.0.1:{}", cluster.nodes()[1].port()))
        .tls_root_certificates(std::fs::read(certificates.authority()).unwrap())
        // Handshakes take long where a build without optimizations shares its processors.
        .response_timeout(Duration::from_secs(5))
        .connect_timeout(Duration::from_secs(10));
    let provider = RedisLockProvider::new(options).unwrap();
    provider.check().await.unwrap();
    for node in 0..3 {
        let name = super::name_on(&cluster, node);
        lock(&provider, &name).try_acquire(SOON).await.unwrap().unwrap().release().await.unwrap();
    }
}
