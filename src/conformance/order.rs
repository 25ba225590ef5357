//! First come, first served, also if other waiters leave or expire.

use std::time::Duration;

use super::Subject;
use super::scene::{SHORT, Scene, acquired, at_once, granted, kept, lease, soon};

/// Six callers wait. Each is granted the lock when the one before has released it, and not earlier.
pub async fn waiters_are_served_in_order(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("queue");
    let mut holder = acquired(&lock).await;
    let mut waiters = std::collections::VecDeque::new();
    for place in 1..=6 {
        waiters.push_back(scene.spawn_waiter(&lock, place).await);
    }
    while let Some(next) = waiters.pop_front() {
        kept(holder.release().await, "a held lock can be released");
        holder = granted(next, "waiters are served in the order in which they came").await;
        assert!(
            waiters.iter().all(|later| !later.is_finished()),
            "waiters are served in the order in which they came: a later one has ended its wait"
        );
        scene.queued(&lock, waiters.len()).await;
    }
    drop(holder);
    scene.nothing_left().await;
}

/// Of six waiters the first, the third and the last are cancelled. The others keep their order.
pub async fn cancelled_waiters_keep_the_order(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("queue");
    let mut holder = acquired(&lock).await;
    let mut waiters = Vec::new();
    for place in 1..=6 {
        waiters.push(scene.spawn_waiter(&lock, place).await);
    }
    let mut staying = std::collections::VecDeque::new();
    for (place, task) in waiters.into_iter().enumerate() {
        if [0, 2, 5].contains(&place) {
            task.abort();
        } else {
            staying.push_back(task);
        }
    }
    scene.queued(&lock, 3).await;
    while let Some(next) = staying.pop_front() {
        kept(holder.release().await, "a held lock can be released");
        holder = granted(next, "waiters keep their order when others cancel").await;
        assert!(
            staying.iter().all(|later| !later.is_finished()),
            "waiters keep their order when others cancel: a later one has ended its wait"
        );
    }
    drop(holder);
    scene.nothing_left().await;
}

/// While a caller waits, no later caller is granted the lock, also at the moment of the release.
pub async fn newcomers_do_not_overtake(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("queue");
    let holder = acquired(&lock).await;
    let mut waiting = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut waiting, &lock, 1).await;
    kept(holder.release().await, "a held lock can be released");
    // The waiter has not been polled since, and so may not know yet.
    let newcomer = at_once(&lock).await;
    assert!(newcomer.is_none(), "a newcomer does not overtake a waiter: it was granted the lock");
    let guard = kept(soon(waiting, "a waiter gets the lock").await, "a waiter gets the lock");
    assert!(guard.is_held(), "a granted lock is held");
    drop(guard);
    scene.nothing_left().await;
}

/// The first waiter is dropped just after the release, when it may have been granted the lock already: the second waiter
/// gets the lock.
pub async fn next_in_line_dies(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("queue");
    let holder = acquired(&lock).await;
    let mut dying = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut dying, &lock, 1).await;
    let behind = scene.spawn_waiter(&lock, 2).await;
    kept(holder.release().await, "a held lock can be released");
    drop(dying);
    let guard = granted(behind, "when the next in line dies, the one behind it gets the lock").await;
    assert!(guard.is_held(), "a granted lock is held");
    drop(guard);
    scene.nothing_left().await;
}

/// Waiters that are never polled again and never dropped are granted the lock in their turn, and lose it at the end of their
/// leases. The waiters behind them keep their order.
pub async fn dead_waiters_are_passed_over(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("queue");
    let holder = acquired(&lock).await;
    let hasty = scene.lock_with("queue", lease(SHORT));
    let mut waiters = Vec::new();
    for place in [1, 3] {
        let mut dead = Box::pin({
            let lock = hasty.clone();
            async move { lock.acquire().await }
        });
        scene.poll_until_queued(&mut dead, &lock, place).await;
        std::mem::forget(dead);
        waiters.push(scene.spawn_waiter(&lock, place + 1).await);
    }
    kept(holder.release().await, "a held lock can be released");
    for next in waiters {
        let guard = granted(next, "a waiter behind a dead one gets the lock when the dead one's lease has ended").await;
        assert!(guard.is_held(), "a granted lock is held");
        kept(guard.release().await, "a held lock can be released");
    }
    scene.nothing_left().await;
}

/// The holder never releases. At the end of its lease the first waiter gets the lock, then the second.
pub async fn holder_expires_with_waiters(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("queue", lease(SHORT));
    let holder = acquired(&lock).await;
    let patient = scene.lock("queue");
    let first = scene.spawn_waiter(&patient, 1).await;
    let second = scene.spawn_waiter(&patient, 2).await;
    let first = granted(first, "when a holder's lease ends, the first waiter gets the lock").await;
    assert!(!holder.is_held(), "one holder at a time: the expired holder still holds the lock");
    // Gives a wrong grant time to arrive.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!second.is_finished(), "one holder at a time: the second waiter has ended its wait as well");
    kept(first.release().await, "a held lock can be released");
    drop(granted(second, "the second waiter gets the lock after the first").await);
    drop(holder);
    scene.nothing_left().await;
}
