//! Sentinels that name different primaries after the same failover: a split set, or one that is configured wrongly.

use std::time::{Duration, Instant};

use super::fake::FakeSentinel;
use super::scene::{TIME, connected, has, hosts, serve, unavailable, until_connected, warm};
use crate::fixtures::{acquired, lock, provider_at, soon, until};
use crate::support::RedisServer;

fn url(sentinels: &[&FakeSentinel]) -> String {
    let ports: Vec<_> = sentinels.iter().map(|sentinel| sentinel.port()).collect();
    format!("redis+sentinel://{}/locks", hosts(&ports))
}

/// Neither of two is used, and callers wait until the sentinels agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_primaries_of_one_epoch_are_not_used() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let one = FakeSentinel::naming("127.0.0.1", servers[0].port(), 5).await;
    let other = FakeSentinel::naming("127.0.0.1", servers[1].port(), 5).await;
    for order in [[&one, &other], [&other, &one]] {
        let provider = provider_at(&url(&order));
        let begun = Instant::now();
        let text = unavailable(lock(&provider, "name").try_acquire(Duration::from_millis(1_200)).await);
        assert!(begun.elapsed() >= Duration::from_millis(1_150), "{:?}: {text}", begun.elapsed());
        assert!(text.contains("disagree") && text.contains("configuration epoch 5"), "{text}");
        for (server, sentinel) in servers.iter().zip([&one, &other]) {
            let named = format!("127.0.0.1:{} by 127.0.0.1:{}", server.port(), sentinel.port());
            assert!(text.contains(&named), "{named}: {text}");
        }
    }
    assert!(servers.iter().all(|server| connected(server) == 0 && server.scripts_run() == 0));

    let provider = provider_at(&url(&[&one, &other]));
    let waiting = serve(lock(&provider, "name"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!waiting.is_finished());
    other.name(servers[0].port(), 5);
    soon("served", waiting).await.unwrap();
    assert_eq!(servers[1].scripts_run(), 0);
}

/// One of three is configured wrongly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_one_that_most_sentinels_name_is_used() {
    let (right, wrong) = (RedisServer::start(), RedisServer::start());
    let lying = FakeSentinel::naming("127.0.0.1", wrong.port(), 5).await;
    let first = FakeSentinel::naming("127.0.0.1", right.port(), 5).await;
    let second = FakeSentinel::naming("127.0.0.1", right.port(), 5).await;
    for order in [[&lying, &first, &second], [&first, &second, &lying]] {
        let guard = acquired(&lock(&provider_at(&url(&order)), "name")).await;
        assert!(has(&right, "name") && !has(&wrong, "name"));
        guard.release().await.unwrap();
    }
}

/// A connection that there is goes on while the sentinels disagree, and is left for the one that most of them name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_goes_on_until_most_sentinels_name_another() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(FakeSentinel::naming("127.0.0.1", servers[0].port(), 5).await);
    }
    let provider = provider_at(&url(&sentinels.iter().collect::<Vec<_>>()));
    warm(&provider).await;
    sentinels[0].forget();
    sentinels[1].name(servers[1].port(), 5);
    let listens = || sentinels.iter().any(|sentinel| sentinel.listeners() == 1);
    until("it listens", listens).await;
    warm(&provider).await;
    assert_eq!((connected(&servers[0]), connected(&servers[1])), (1, 0));
    sentinels[2].name(servers[1].port(), 5);
    let switch = format!("locks 127.0.0.1 {} 127.0.0.1 {}", servers[0].port(), servers[1].port());
    assert_eq!(sentinels.iter().map(|sentinel| sentinel.announce(&switch)).sum::<usize>(), 1);
    until_connected(&servers[1], 1).await;
    lock(&provider, "name").try_acquire(TIME).await.unwrap().unwrap().release().await.unwrap();
}
