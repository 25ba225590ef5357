//! The server forgets its scripts, and ends our connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockOptions};

use super::scene::{
    LIMIT, NAME, SOON, Scene, ended, granted, lock, patient, patient_provider_at, provider_at, until, until_it_works,
    until_nobody_waits, until_waiting, wait_for,
};
use crate::support::RedisServer;

const TTL: Duration = Duration::from_secs(30);

/// Between any two operations the scripts are forgotten; nothing fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_scripts_are_not_noticed() {
    let scene = Scene::with(RedisServer::start(), patient);
    let other = patient_provider_at(scene.server.url());
    let forget = || scene.server.cli(&["SCRIPT", "FLUSH"]);
    for _ in 0..10 {
        forget();
        let guard = scene.lock(TTL).acquire().await.unwrap();
        forget();
        assert!(guard.extend(TTL * 2).await.unwrap());
        forget();
        assert!(lock(&other, NAME, TTL).try_acquire(Duration::ZERO).await.unwrap().is_none());
        forget();
        let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
        until_waiting(&scene.server, &other, 1).await;
        forget();
        guard.release().await.unwrap();
        let next = granted(waiter).await;
        forget();
        // One that gives up is taken out of the queue.
        let gives_up = wait_for(&scene.lock(TTL), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        forget();
        gives_up.abort();
        until_nobody_waits(&scene.server).await;
        forget();
        next.release().await.unwrap();
        scene.until_clean(SOON).await;
    }
}

/// Also while they are forgotten all the time and many locks are acquired, renewed and released.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_forgotten_all_the_time_fail_nothing() {
    let scene = Scene::new();
    let stop = tokio::sync::watch::Sender::new(false);
    let forgetting = tokio::spawn({
        let (stop, mut connection) = (stop.clone(), scene.server.connection().await);
        async move {
            let mut count = 0;
            while !*stop.borrow() {
                redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut connection).await.unwrap();
                count += 1;
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            count
        }
    });
    let tasks: Vec<_> = (0..16)
        .map(|number| {
            let options = LockOptions::default().ttl(Duration::from_millis(300));
            let name = format!("order:{}", number % 4);
            let lock = scene.provider.create_lock(name.try_into().unwrap(), options).unwrap();
            tokio::spawn(async move {
                for _ in 0..40 {
                    let guard = lock.acquire().await.unwrap();
                    if number % 4 == 0 {
                        assert!(guard.extend(Duration::from_millis(400)).await.unwrap());
                    }
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    assert!(guard.is_held());
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    // And one that lives by its renewals.
    let long = lock(&scene.provider, "long", Duration::from_millis(300)).acquire().await.unwrap();
    for task in tasks {
        ended(task).await;
    }
    assert!(long.is_held());
    stop.send_replace(true);
    assert!(ended(forgetting).await > 20);
    long.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// Our connections are ended by hand, by every kind that there is; holders keep their locks, and waiters get theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_are_replaced() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    for kind in ["normal", "pubsub"] {
        let guard = lock(&other, NAME, TTL).acquire().await.unwrap();
        let waiter = wait_for(&scene.lock(TTL), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        for _ in 0..5 {
            scene.server.cli(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
            // Until both are back.
            until("both listen again", SOON, || subscribed(&scene) == 2).await;
            assert!(guard.is_held());
        }
        // The server knows of a connection before its process does.
        until_it_works(&lock(&other, "another", TTL)).await;
        guard.release().await.unwrap();
        let next = granted(waiter).await;
        assert!(next.is_held());
        next.release().await.unwrap();
        scene.until_clean(SOON).await;
    }
}

fn subscribed(scene: &Scene) -> usize {
    scene.server.ask::<Vec<String>>(redis::cmd("PUBSUB").arg("CHANNELS")).len()
}

/// Killed in the middle of the work, again and again: whatever an operation came to, nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_connections_leave_nothing() {
    let scene = Scene::new();
    let stop = tokio::sync::watch::Sender::new(false);
    let done = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let (lock, stop) = (lock(&scene.provider, &format!("order:{}", number % 2), TTL), stop.clone());
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                while !*stop.borrow() {
                    match lock.try_acquire(Duration::from_millis(100)).await {
                        Ok(Some(guard)) => {
                            done.fetch_add(1, SeqCst);
                            _ = guard.release().await;
                        }
                        Ok(None) => {}
                        Err(orchestrix_locking::LockError::Unavailable { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        })
        .collect();
    for _ in 0..12 {
        let before = done.load(SeqCst);
        until("the work goes on", LIMIT, || done.load(SeqCst) > before + 5).await;
        scene.proxy.cut();
    }
    stop.send_replace(true);
    for task in tasks {
        ended(task).await;
    }
    scene.until_clean(LIMIT).await;
    scene.works().await;
}
