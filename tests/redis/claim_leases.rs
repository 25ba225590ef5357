//! Waiters that are granted a lock while they stand still, and what becomes of the lease that a notification grants.

use std::time::Duration;

use orchestrix_locking::LockOptions;
use tokio::time::Instant;

use crate::fixtures::{acquired, key_of, lock_with, provider_at, soon, until};
use crate::support::{Proxy, RedisServer};

const HOUR: Duration = Duration::from_secs(3_600);

/// What a grant by notification lasts, with the default time-outs, until its owner says that it has it.
const CLAIM: Duration = Duration::from_secs(5);

fn hour() -> LockOptions {
    LockOptions::default().ttl(HOUR)
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap()
}

/// A process is frozen while its connection stays open: it is granted the lock in its turn, for seconds and not for the
/// hour that it has asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_waiter_keeps_the_lock_for_seconds() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let (holder, frozen, next) = (provider_at(&server.url()), provider_at(&proxy.url()), provider_at(&server.url()));
    let guard = acquired(&lock_with(&holder, "name", hour())).await;
    let mut waiting = Vec::new();
    for (place, provider) in [&frozen, &next].into_iter().enumerate() {
        let lock = lock_with(provider, "name", hour());
        waiting.push(tokio::spawn(async move { lock.acquire().await }));
        until("it is in the queue", || server.queue_of(&key_of("name")).len() == place + 1).await;
    }
    proxy.stall(true);
    guard.release().await.unwrap();
    let granted = Instant::now();
    let left = server.pttl(&key_of("name"));
    assert!((1..=milliseconds(CLAIM)).contains(&left), "it is granted for a short time: {left}");
    let second = soon("the next is served", waiting.pop().unwrap()).await.unwrap().unwrap();
    println!("the lock went on after {:?}", granted.elapsed());
    assert!(granted.elapsed() < CLAIM + Duration::from_secs(3));

    // The frozen waiter runs again: it has lost its place in the queue, and still waits for the lock.
    proxy.stall(false);
    second.release().await.unwrap();
    soon("its turn comes", waiting.pop().unwrap()).await.unwrap().unwrap().release().await.unwrap();
    until("nothing is left", || server.leftovers().is_empty()).await;
}

/// A holder that was told keeps the lock: its first renewal comes early, and gives it the lease that it asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_by_notification_becomes_whole_with_the_first_renewal() {
    let server = RedisServer::start();
    let (holder, waiter) = (provider_at(&server.url()), provider_at(&server.url()));
    let guard = acquired(&lock_with(&holder, "name", hour())).await;
    let waiting = lock_with(&waiter, "name", hour());
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || server.queue_of(&key_of("name")).len() == 1).await;
    guard.release().await.unwrap();
    let guard = soon("it is handed on", waiting).await.unwrap().unwrap();
    assert!(guard.remaining() < CLAIM, "no more than is certain");
    let before = server.scripts_run();
    until("it is renewed", || server.pttl(&key_of("name")) > milliseconds(HOUR) / 2).await;
    until("it is known here", || guard.remaining() > HOUR / 2).await;
    assert_eq!(server.scripts_run() - before, 1, "by one command");
    assert!(guard.is_held());
    guard.release().await.unwrap();
}

/// A lease that is not renewed is as long from its beginning as was asked for, also after a hand-over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_not_renewed_is_whole_from_the_beginning() {
    let server = RedisServer::start();
    let (holder, waiter) = (provider_at(&server.url()), provider_at(&server.url()));
    let guard = acquired(&lock_with(&holder, "name", hour())).await;
    let waiting = lock_with(&waiter, "name", hour().auto_renew(false));
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || server.queue_of(&key_of("name")).len() == 1).await;
    guard.release().await.unwrap();
    let guard = soon("it is handed on", waiting).await.unwrap().unwrap();
    assert!(guard.remaining() > HOUR / 100 * 98, "{:?}", guard.remaining());
    assert!(server.pttl(&key_of("name")) > milliseconds(HOUR) / 100 * 98);
    guard.release().await.unwrap();
}

/// Tasks of the process that was told take turns within the claim lease, and none of them asks the server for more of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_within_a_claim_lease_cost_nothing() {
    const TASKS: usize = 16;
    let server = RedisServer::start();
    let (holder, waiter) = (provider_at(&server.url()), provider_at(&server.url()));
    let guard = acquired(&lock_with(&holder, "name", hour())).await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..TASKS {
        let lock = lock_with(&waiter, "name", hour());
        waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
    }
    until("they wait", || waiter.waiters(&"name".try_into().unwrap()) == TASKS).await;
    until("they are in the queue", || server.queue_of(&key_of("name")).len() == 1).await;
    let before = server.scripts_run();
    guard.release().await.unwrap();
    while let Some(ended) = soon("they are served", waiting.join_next()).await {
        ended.unwrap();
    }
    until("the lock is free", || server.leftovers().is_empty()).await;
    let commands = server.scripts_run() - before;
    // One may have asked again just then.
    assert!((2..=3).contains(&commands), "a release each: {commands}");
}
