//! One holder at a time, and independent names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::Subject;
use super::scene::{Scene, TIME_LIMIT, acquired, at_once, granted, kept};
use crate::Release;

/// Many tasks read a counter, yield, and write it back: no addition is lost, and no two holders overlap.
pub async fn exclusion(subject: impl Subject) {
    const TASKS: u64 = 16;
    const ROUNDS: u64 = 12;
    let scene = Scene::of(subject).await;
    let counter = Arc::new(AtomicU64::new(0));
    let inside = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (lock, counter, inside) = (scene.lock("exclusion"), Arc::clone(&counter), Arc::clone(&inside));
            tokio::spawn(async move {
                for _ in 0..ROUNDS {
                    let guard = kept(lock.acquire().await, "every caller gets the lock in the end");
                    assert_eq!(inside.fetch_add(1, SeqCst), 0, "one holder at a time: two overlap");
                    let read = counter.load(SeqCst);
                    tokio::task::yield_now().await;
                    counter.store(read + 1, SeqCst);
                    assert_eq!(inside.fetch_sub(1, SeqCst), 1, "one holder at a time: two overlap");
                    kept(guard.release().await, "a held lock can be released");
                }
            })
        })
        .collect();
    for task in tasks {
        let ended = tokio::time::timeout(3 * TIME_LIMIT, task).await;
        assert!(matches!(ended, Ok(Ok(()))), "one holder at a time, and every caller in the end: {ended:?}");
    }
    assert_eq!(counter.load(SeqCst), TASKS * ROUNDS, "one holder at a time: an addition was lost");
    scene.nothing_left().await;
}

/// Two providers on one backend exclude each other and hand locks over to each other, with rising tokens.
pub async fn another_provider_is_excluded(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let here = scene.lock("shared");
    let Some(there) = scene.lock_of_another("shared").await else { return };
    let (mut one, mut other) = (&here, &there);
    let mut holder = acquired(one).await;
    for _ in 0..4 {
        assert!(at_once(other).await.is_none(), "one holder at a time, also among providers on one backend");
        let waiting = scene.spawn_waiter(other, 1).await;
        let before = holder.fencing_token();
        kept(holder.release().await, "a held lock can be released");
        holder = granted(waiting, "a release ends a wait in another provider").await;
        assert!(before < holder.fencing_token(), "fencing tokens rise from provider to provider");
        std::mem::swap(&mut one, &mut other);
    }
    kept(holder.release().await, "a held lock can be released");
    scene.nothing_left().await;
}

/// Locks on different names do not affect each other.
pub async fn names_are_independent(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    // Also names that a backend might take for a pattern, a list or a part of another key.
    let names = ["a", "b", "ab", "a:b", "a*", "{a}", "a b", "a\\:b", "ä", "a/../b"];
    let mut guards = Vec::new();
    for name in names {
        let guard = at_once(&scene.lock(name)).await;
        assert!(guard.is_some(), "names are independent: {name:?} is not free beside others");
        guards.extend(guard);
    }
    for (guard, name) in guards.iter().zip(names) {
        assert_eq!(guard.resource().as_str(), name, "a guard says what it locks");
        assert!(guard.is_held(), "names are independent: {name:?} was lost when another was locked");
    }
    drop(guards);
    scene.nothing_left().await;
}

/// `Order` and `order` are two locks.
pub async fn names_are_case_sensitive(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let upper = acquired(&scene.lock("Order:42")).await;
    let lower = at_once(&scene.lock("order:42")).await;
    assert!(lower.is_some(), "names are case-sensitive: order:42 is taken by Order:42");
    assert!(at_once(&scene.lock("Order:42")).await.is_none(), "one holder at a time: Order:42 was granted twice");
    drop(upper);
}

/// A released lock is free at once, every time.
pub async fn reacquire_after_release(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("again");
    for round in 0..5 {
        let Some(guard) = at_once(&lock).await else { panic!("a released lock is free at once: not in round {round}") };
        assert!(guard.is_held(), "a granted lock is held");
        assert!(at_once(&lock).await.is_none(), "one holder at a time, also with one lock object: not re-entrant");
        let released = kept(guard.release().await, "a held lock can be released");
        assert_eq!(released, Release::Released, "the release of a held lock says so");
    }
    scene.nothing_left().await;
}
