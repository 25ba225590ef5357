//! Time-outs, and waits that end in a grant.

use std::time::Duration;

use tokio::time::Instant;

use super::Subject;
use super::scene::{Scene, acquired, at_once, granted, kept, soon};

/// One attempt: a guard if the lock is free, `None` if it is held. It does not join the queue.
pub async fn zero_timeout_does_not_wait(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("zero");
    let guard = at_once(&lock).await;
    assert!(guard.is_some(), "one attempt is enough for a free lock");
    let began = Instant::now();
    assert!(at_once(&lock).await.is_none(), "one holder at a time: a second attempt was granted the lock");
    assert!(began.elapsed() < Duration::from_millis(300), "a time-out of zero does not wait: {:?}", began.elapsed());
    assert_eq!(scene.waiters(&lock).await, 0, "a time-out of zero leaves no waiter in the queue");
    drop(guard);
    scene.nothing_left().await;
}

/// A time-out of 200 ms takes at least 200 ms, and at most 500 ms.
pub async fn short_timeout_is_kept(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("short");
    let guard = acquired(&lock).await;
    let began = Instant::now();
    let answer = lock.try_acquire(Duration::from_millis(200)).await;
    let waited = began.elapsed();
    let answer = kept(answer, "a time-out that runs out is no error");
    assert!(answer.is_none(), "one holder at a time: a waiter was granted the lock beside its holder");
    assert!(waited >= Duration::from_millis(199), "a time-out of 200 ms waits for 200 ms: it was {waited:?}");
    assert!(waited < Duration::from_millis(500), "a time-out of 200 ms ends within 500 ms: it was {waited:?}");
    assert_eq!(scene.waiters(&lock).await, 0, "a time-out that ran out leaves no waiter in the queue");
    assert!(guard.is_held(), "a waiter that gives up changes nothing for the holder");
    drop(guard);
    scene.nothing_left().await;
}

/// `Duration::MAX`, and a time-out just below it, wait and do not overflow.
pub async fn longest_timeout_waits(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("longest");
    for longest in [Duration::MAX, Duration::MAX.saturating_sub(Duration::from_nanos(1))] {
        let guard = acquired(&lock).await;
        let waiting = lock.clone();
        let task = tokio::spawn(async move { waiting.try_acquire(longest).await });
        scene.queued(&lock, 1).await;
        kept(guard.release().await, "a held lock can be released");
        match soon(task, "a waiter with the longest time-out is granted the lock when it is free").await {
            Ok(Ok(Some(guard))) => kept(guard.release().await, "a held lock can be released"),
            other => panic!("a waiter with the longest time-out is granted the lock when it is free: {other:?}"),
        };
    }
    scene.nothing_left().await;
}

/// A waiter gets the lock soon after the release, long before the lease would have ended.
pub async fn release_ends_a_wait(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("hand-over");
    let guard = acquired(&lock).await;
    let task = scene.spawn_waiter(&lock, 1).await;
    let released = Instant::now();
    kept(guard.release().await, "a held lock can be released");
    let next = granted(task, "a release ends the wait of the next in line").await;
    let took = released.elapsed();
    assert!(took < Duration::from_secs(1), "a release ends the wait of the next in line at once: it took {took:?}");
    assert!(next.is_held(), "a granted lock is held");
    // A drop releases as well, in the background.
    let task = scene.spawn_waiter(&lock, 1).await;
    drop(next);
    drop(granted(task, "a dropped guard ends the wait of the next in line").await);
    scene.nothing_left().await;
}
