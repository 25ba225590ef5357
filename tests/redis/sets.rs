//! Several locks at once: what they cost, and what a cancelled set leaves behind.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestrix_locking::{LockSet, Locking, RedisLockProvider, Release};

use crate::fixtures::{acquired, key_of, lock, polled, provider_at, soon, until};
use crate::support::RedisServer;

fn set(provider: &RedisLockProvider, names: &[&str]) -> LockSet {
    let locking = Locking::builder().add_default_provider(provider.clone()).build().unwrap();
    locking.lock_all(names.iter().copied()).unwrap()
}

async fn connected(server: &RedisServer) -> RedisLockProvider {
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "warm-up")).await.release().await.unwrap();
    provider
}

#[tokio::test]
async fn an_uncontended_set_is_two_commands() {
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let many: Vec<String> = (0..64).map(|number| format!("many:{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut log = server.log_commands().await;
    for names in [&["b", "a"][..], &many] {
        for _ in 0..10 {
            let guard = soon("a free set is granted", set(&provider, names).acquire()).await.unwrap();
            assert_eq!(guard.guards().len(), names.len());
            assert_eq!(guard.release().await.unwrap(), Release::Released);
        }
        assert_eq!(log.commands_of_clients().await, BTreeMap::from([("evalsha".to_owned(), 20)]));
        log.clear().await;
        // The same for a guard that is only dropped.
        drop(soon("a free set is granted", set(&provider, names).acquire()).await.unwrap());
        until("all is released", || server.leftovers().is_empty()).await;
        assert_eq!(log.commands_of_clients().await, BTreeMap::from([("evalsha".to_owned(), 2)]));
        log.clear().await;
    }
}

#[tokio::test]
async fn a_set_waits_for_another_process_and_is_granted_whole() {
    let server = RedisServer::start();
    let (one, other) = (connected(&server).await, connected(&server).await);
    let held = acquired(&lock(&other, "b")).await;
    assert!(set(&one, &["a", "b", "c"]).try_acquire(Duration::ZERO).await.unwrap().is_none());
    let waiting = tokio::spawn(set(&one, &["c", "b", "a"]).acquire_owned());
    until("it waits", || !server.queue_of(&key_of("b")).is_empty()).await;
    until("nothing behind is kept", || !server.keys().contains(&key_of("c"))).await;
    assert!(server.keys().contains(&key_of("a")), "what comes before is kept");
    held.release().await.unwrap();
    let guard = soon("it is granted", waiting).await.unwrap().unwrap();
    assert!(guard.is_held() && guard.guards().len() == 3);
    guard.release().await.unwrap();
    assert!(server.leftovers().is_empty(), "{:?}", server.leftovers());
}

/// Dropped after each of its polls, while each of its names is held by another process.
#[tokio::test]
async fn a_dropped_set_leaves_nothing_on_the_server() {
    let server = RedisServer::start();
    let (one, other) = (connected(&server).await, connected(&server).await);
    for busy in ["none", "a", "b", "c"] {
        for polls in 0..6 {
            let held = acquired(&lock(&other, busy)).await;
            let acquire = Box::pin(set(&one, &["a", "b", "c"]).acquire());
            drop(polled(acquire, polls, Duration::from_millis(30)).await);
            held.release().await.unwrap();
            until("nothing is left", || server.leftovers().is_empty()).await;
        }
    }
}
