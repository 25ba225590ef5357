//! The connection is cut in mid-reply, at every byte.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockError};

use super::scene::{LIMIT, NAME, SOON, Scene, ended, lock, provider_at, until_clean, until_waiting, wait_for};

const TTL: Duration = Duration::from_secs(60);

/// A guard, `None`, or an error that says that the server did not answer; and in time.
fn typed<T>(answer: Result<T, LockError>, at: u64) {
    match answer {
        Ok(_) | Err(LockError::Unavailable { .. }) => {}
        Err(error) => panic!("cut at {at}: {error:?}"),
    }
}

/// Every byte of what is said before the first lock is granted, and of the grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_first_answers() {
    let scene = Scene::new();
    for at in 0..480 {
        let provider = provider_at(scene.proxy.url());
        scene.proxy.cut_after_answer_bytes(at);
        let lock = lock(&provider, NAME, TTL);
        let answer = tokio::time::timeout(LIMIT, lock.try_acquire(Duration::from_secs(1))).await.unwrap();
        typed(answer, at);
        // The next one finds a connection, or finds the provider making one.
        let next = tokio::time::timeout(LIMIT, next_works(&lock)).await;
        assert!(next.is_ok(), "cut at {at}");
        until_clean(&scene.server, &provider, SOON).await;
        provider.close().await;
    }
}

async fn next_works(lock: &orchestrix_locking::DistributedLock) {
    loop {
        match lock.try_acquire(Duration::from_secs(1)).await {
            Ok(guard) => {
                let guard = guard.expect("the lock is free");
                if guard.release().await.is_ok() {
                    return;
                }
            }
            Err(LockError::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Every byte of the answers to acquire, extend and release on a connection that is used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_answers_of_a_connection_in_use() {
    let scene = Scene::new();
    for at in 0..200 {
        let provider = provider_at(scene.proxy.url());
        let lock = lock(&provider, NAME, TTL);
        next_works(&lock).await;
        scene.proxy.cut_after_answer_bytes(at);
        // Some forty bytes each: the cut hits one of them.
        for _ in 0..3 {
            match tokio::time::timeout(LIMIT, lock.try_acquire(Duration::from_secs(1))).await.unwrap() {
                Ok(Some(guard)) => {
                    typed(guard.extend(TTL).await, at);
                    typed(guard.release().await, at);
                }
                answer => typed(answer, at),
            }
        }
        next_works(&lock).await;
        until_clean(&scene.server, &provider, SOON).await;
    }
}

/// Every byte of the message with which a lock is handed over: the waiter gets it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_message_that_hands_a_lock_over() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    for at in 0..200 {
        let held = lock(&other, NAME, TTL).acquire().await.unwrap();
        let provider = provider_at(scene.proxy.url());
        let waiter = wait_for(&lock(&provider, NAME, TTL), LIMIT);
        until_waiting(&scene.server, &provider, 1).await;
        scene.proxy.cut_after_answer_bytes(at);
        held.release().await.unwrap();
        let guard = ended(waiter).await.0.unwrap().expect("it had the time");
        assert!(guard.is_held());
        // This may be what is cut.
        typed(guard.release().await, at);
        until_clean(&scene.server, &provider, SOON).await;
        next_works(&lock(&provider, NAME, TTL)).await;
    }
}

/// The same for what is sent: a command that was cut in the middle was not run, and one that was not is undone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_commands() {
    let scene = Scene::new();
    // One command has some three hundred bytes.
    for at in (0..700).step_by(3) {
        let provider = provider_at(scene.proxy.url());
        let lock = lock(&provider, NAME, TTL);
        next_works(&lock).await;
        scene.proxy.cut_after_request_bytes(at);
        match tokio::time::timeout(LIMIT, lock.try_acquire(Duration::from_secs(1))).await.unwrap() {
            Ok(Some(guard)) => typed(guard.release().await, at),
            answer => typed(answer, at),
        }
        next_works(&lock).await;
        until_clean(&scene.server, &provider, SOON).await;
    }
}
