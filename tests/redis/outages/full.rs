//! The server's memory is full.

use std::time::Duration;

use super::scene::{
    LIMIT, NAME, SOON, Scene, backend, granted, keys, lock, provider_at, until, until_waiting, wait_for,
};

const TTL: Duration = Duration::from_secs(3);

fn full(scene: &Scene, full: bool) {
    scene.server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    // Less than an empty server has, or as much as there is.
    scene.server.cli(&["CONFIG", "SET", "maxmemory", if full { "100kb" } else { "0" }]);
}

/// No lock is granted, and the server's own word says why; nothing is left of the attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acquiring_fails_with_the_servers_word() {
    let scene = Scene::new();
    for cold in [true, false] {
        full(&scene, true);
        let answer = scene.lock(TTL).try_acquire(SOON).await;
        backend(answer, "OOM");
        backend(scene.lock(TTL).try_acquire(Duration::ZERO).await, "OOM");
        full(&scene, false);
        scene.until_clean(SOON).await;
        scene.works().await;
        assert!(scene.proxy.accepted() <= 2, "{cold}: it is no reason to connect anew");
    }
}

/// Locks that are held can be renewed, handed on and released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_and_waiters_go_on() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    full(&scene, true);
    let end = guard.expires_at();
    until("it is renewed", TTL, || guard.expires_at() > end).await;
    assert!(guard.extend(TTL * 2).await.unwrap());
    guard.release().await.unwrap();
    let next = granted(waiter).await;
    assert!(next.is_held());
    next.release().await.unwrap();
    assert!(keys(&scene.server).is_empty());
    full(&scene, false);
    scene.works().await;
}

/// A waiter whose lock is freed by a process of another make while memory is full gets it when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_waits_until_there_is_room() {
    let scene = Scene::new();
    let mut plain = crate::support::PlainLocker::connect(&scene.server.url()).await;
    let token = plain.lock_for_ever(super::scene::KEY).await.unwrap();
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    full(&scene, true);
    assert!(plain.unlock(super::scene::KEY, &token).await);
    // It asks, at least once, and is refused.
    let refused = || scene.server.cli(&["INFO", "errorstats"]).contains("errorstat_OOM");
    until("it was refused, or granted", SOON, || refused() || waiter.is_finished()).await;
    full(&scene, false);
    granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}
