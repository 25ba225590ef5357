//! Messages that are lost: slower, and otherwise the same.

use std::time::{Duration, Instant};

use super::scene::{KEY, LIMIT, NAME, SOON, Scene, granted, lock, provider_at, until_waiting, wait_for};
use crate::support::PlainLocker;

const TTL: Duration = Duration::from_secs(30);

/// A waiter relies on messages for about a second.
const CAP: Duration = Duration::from_secs(1);

/// The lock is handed to a waiter who never hears of it: it asks, and finds itself the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_that_was_granted_the_lock_untold_finds_out() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    scene.proxy.drop_messages(true);
    for round in 1..4 {
        let held = lock(&other, NAME, TTL).acquire().await.unwrap();
        let waiter = wait_for(&scene.lock(TTL), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        let released = Instant::now();
        held.release().await.unwrap();
        tokio::time::timeout(LIMIT, scene.proxy.until_dropped_messages(round)).await.unwrap();
        let owner: String = scene.server.ask(redis::cmd("GET").arg(KEY));
        let guard = granted(waiter).await;
        let took = released.elapsed();
        assert!(took < CAP + Duration::from_millis(300), "{took:?}");
        let now: String = scene.server.ask(redis::cmd("GET").arg(KEY));
        assert_eq!(owner, now, "it was its own already");
        guard.release().await.unwrap();
    }
    scene.until_clean(SOON).await;
}

/// A holder of another make tells nobody of its release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_freed_without_a_message_is_noticed() {
    let scene = Scene::new();
    let mut plain = PlainLocker::connect(&scene.server.url()).await;
    let token = plain.lock_for_ever(KEY).await.unwrap();
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    let released = Instant::now();
    assert!(plain.unlock(KEY, &token).await);
    let guard = granted(waiter).await;
    assert!(released.elapsed() < CAP + Duration::from_millis(300), "{:?}", released.elapsed());
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// Nor does it profit whoever comes just then: the lock is the waiter's, whom the newcomer's question tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_freed_without_a_message_is_no_newcomers() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let newcomer = lock(&other, NAME, TTL);
    let mut plain = PlainLocker::connect(&scene.server.url()).await;
    let token = plain.lock_for_ever(KEY).await.unwrap();
    assert!(newcomer.try_acquire(Duration::ZERO).await.unwrap().is_none());
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    assert!(plain.unlock(KEY, &token).await);
    assert!(newcomer.try_acquire(Duration::ZERO).await.unwrap().is_none(), "somebody was there before");
    granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// "Others wait" is lost too: the holder's process learns it with its next renewal, and lets them have a turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_not_told_of_others_lets_them_in_all_the_same() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    scene.proxy.drop_messages(true);
    let stop = tokio::sync::watch::Sender::new(false);
    // The lock goes round and round within one process.
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (lock, stop) = (scene.lock(Duration::from_millis(900)), stop.clone());
            tokio::spawn(async move {
                while !*stop.borrow() {
                    let guard = lock.acquire().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    super::scene::until("it is busy", LIMIT, || scene.provider.waiters(&super::scene::resource(NAME)) > 0).await;
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    granted(waiter).await.release().await.unwrap();
    stop.send_replace(true);
    for task in busy {
        super::scene::ended(task).await;
    }
    scene.until_clean(SOON).await;
}
