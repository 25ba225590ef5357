//! Sentinels that name a server which is not the primary, or not any more.

use std::time::{Duration, Instant};

use super::fake::FakeSentinel;
use super::scene::{TIME, connected, has, hosts, refused, serve, unavailable, until_connected, warm};
use crate::fixtures::{acquired, lock, provider_at, soon, until};
use crate::support::RedisServer;

fn url(sentinels: &[&FakeSentinel]) -> String {
    let ports: Vec<_> = sentinels.iter().map(|sentinel| sentinel.port()).collect();
    format!("redis+sentinel://:password@{}/locks", hosts(&ports))
}

fn node() -> RedisServer {
    RedisServer::builder().password("password").config("masterauth", "password").start()
}

/// Of several answers that of the latest failover counts, in whatever order they are listed.
#[tokio::test]
async fn the_latest_epoch_counts() {
    let (old, new) = (node(), node());
    let stale = FakeSentinel::naming("127.0.0.1", old.port(), 4).await;
    let right = FakeSentinel::naming("127.0.0.1", new.port(), 5).await;
    for order in [[&stale, &right], [&right, &stale]] {
        let provider = provider_at(&url(&order));
        let guard = acquired(&lock(&provider, "name")).await;
        assert!(has(&new, "name") && !has(&old, "name"));
        guard.release().await.unwrap();
        provider_closed(provider).await;
    }
    assert_eq!(connected(&old), 0);
}

async fn provider_closed(provider: orchestrix_locking::RedisLockProvider) {
    orchestrix_locking::DistributedLockProvider::close(&provider).await;
}

/// Sentinels that report an address which is not reachable from here, as behind NAT.
#[tokio::test]
async fn a_named_address_that_cannot_be_reached_is_named_with_the_sentinels() {
    let sentinel = FakeSentinel::naming("127.0.0.2", 1, 1).await;
    let provider = provider_at(&url(&[&sentinel]));
    let text = unavailable(lock(&provider, "name").try_acquire(Duration::ZERO).await);
    for part in [&format!("127.0.0.1:{}", sentinel.port()), "127.0.0.2:1", "replica-announce-ip"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// A replica is refused by its role, and waited for: it is about to be promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_replica_is_waited_for() {
    let (primary, replica) = (node(), node());
    replica.replicate(&primary);
    let sentinel = FakeSentinel::naming("127.0.0.1", replica.port(), 1).await;
    let provider = provider_at(&url(&[&sentinel]));
    let began = Instant::now();
    let text = unavailable(lock(&provider, "name").try_acquire(Duration::from_millis(300)).await);
    let expected = format!("127.0.0.1:{} is a replica of 127.0.0.1:{}", replica.port(), primary.port());
    assert!(text.contains(&expected) && !text.contains("password"), "{text}");
    println!("{:?}: {text}", began.elapsed());

    let waiting = serve(lock(&provider, "name"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    replica.replicate_nobody();
    let promoted = Instant::now();
    let (_, at) = soon("served", waiting).await.unwrap();
    assert!(at - promoted < Duration::from_secs(1), "{:?}", at - promoted);
    assert_eq!(primary.scripts_run(), 0);
}

/// A primary that becomes a replica, and is still named, is left and waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_became_a_replica_is_waited_for() {
    let (one, other) = (node(), node());
    let sentinel = FakeSentinel::naming("127.0.0.1", one.port(), 1).await;
    let provider = provider_at(&url(&[&sentinel]));
    warm(&provider).await;
    one.replicate(&other);
    let waiting = serve(lock(&provider, "name"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    sentinel.name(other.port(), 2);
    let named = Instant::now();
    let (_, at) = soon("served", waiting).await.unwrap();
    assert!(at - named < Duration::from_secs(1), "{:?}", at - named);
    assert_eq!(other.leftovers(), [] as [&str; 0]);
}

/// An announcement of an older failover does not move a provider for good, nor do texts that are none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn false_announcements_change_nothing() {
    let (right, wrong) = (node(), node());
    let sentinel = FakeSentinel::naming("127.0.0.1", right.port(), 7).await;
    let stale = FakeSentinel::naming("127.0.0.1", wrong.port(), 6).await;
    // The stale one is listened to.
    let provider = provider_at(&url(&[&stale, &sentinel]));
    warm(&provider).await;
    until("it listens", || stale.listeners() == 1).await;
    let nonsense = ["", "locks", "locks 127.0.0.1 1 127.0.0.1 x", "other 127.0.0.1 1 127.0.0.1 2", "\u{1b}[2J"];
    for text in nonsense {
        assert_eq!(stale.announce(text), 1);
    }
    assert_eq!(stale.announce(&format!("locks 127.0.0.1 {} 127.0.0.1 {}", right.port(), wrong.port())), 1);
    for round in 0..50 {
        let guard = lock(&provider, &format!("name {round}")).try_acquire(TIME).await.unwrap().unwrap();
        guard.release().await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((connected(&right), connected(&wrong), wrong.scripts_run()), (1, 0, 0));
}

/// One sentinel calls the primary by a name and the other by its address. It is one server, and is not left for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_names_of_one_primary_are_no_failover() {
    let server = node();
    let by_address = FakeSentinel::naming("127.0.0.1", server.port(), 3).await;
    let by_name = FakeSentinel::naming("localhost", server.port(), 3).await;
    let provider = provider_at(&url(&[&by_address, &by_name]));
    warm(&provider).await;
    until("it listens", || by_address.listeners() + by_name.listeners() == 1).await;
    until("it has asked again", || by_address.asked() == 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = by_address.asked();
    assert_eq!(asked, 2, "it is asked to connect, and once more after the subscription");
}

/// The service is removed from the sentinels for a while: the connection that there is goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_forgotten_meanwhile_is_still_used() {
    let server = node();
    let sentinel = FakeSentinel::naming("127.0.0.1", server.port(), 3).await;
    let provider = provider_at(&url(&[&sentinel]));
    warm(&provider).await;
    sentinel.forget();
    warm(&provider).await;
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let text = refused(lock(&provider, "name").try_acquire(Duration::from_millis(300)).await);
    assert!(text.contains("\"locks\" is not known to"), "{text}");
    sentinel.name(server.port(), 3);
    serve(lock(&provider, "name")).await.unwrap();
    until_connected(&server, 1).await;
}
