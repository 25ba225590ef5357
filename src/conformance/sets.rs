//! Several locks at once.

use std::time::Duration;

use tokio::time::timeout;

use super::Subject;
use super::scene::{LONG, Scene, TIME_LIMIT, acquired, at_once, kept, lease, soon};
use crate::{LockError, LockGuard, LockSet, LockSetGuard, Release, Resource};

/// A set whose leases are [`LONG`], without renewal.
fn set<S: Subject>(scene: &Scene<S>, names: &[&str]) -> LockSet {
    let locks = names.iter().map(|name| scene.provider.create_lock(Resource::try_from(*name)?, lease(LONG)));
    kept(LockSet::new(locks), "1 to 64 plain names can be locked at once")
}

fn granted(answer: Result<Option<LockSetGuard>, LockError>) -> LockSetGuard {
    match answer {
        Ok(Some(guard)) => guard,
        other => panic!("a set whose locks are free is granted: {other:?}"),
    }
}

/// A set is granted whole, in the byte order of its names, or not at all; afterwards nothing is held.
pub async fn sets_are_all_or_nothing(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let set = set(&scene, &["set:c", "set:a", "set:b", "set:a"]);
    let guard = granted(set.try_acquire(Duration::ZERO).await);
    let names: Vec<_> = guard.guards().iter().map(|guard| guard.resource().as_str()).collect();
    assert_eq!(names, ["set:a", "set:b", "set:c"], "locks of a set are in the byte order of their names, each once");
    let token = guard.get("set:b").map(LockGuard::fencing_token);
    for name in names {
        assert!(at_once(&scene.lock(name)).await.is_none(), "a set holds all of its locks");
    }
    let released = kept(guard.release().await, "a held set can be released");
    assert_eq!(released, Release::Released, "a set that was held is released");
    let other = acquired(&scene.lock("set:b")).await;
    assert!(Some(other.fencing_token()) > token, "a lock of a set has a fencing token as any other");
    let answer = kept(set.try_acquire(Duration::ZERO).await, "a held lock is no error");
    assert!(answer.is_none(), "a set is not granted while one of its locks is held");
    let answer = kept(set.try_acquire(Duration::from_millis(100)).await, "a time-out that runs out is no error");
    assert!(answer.is_none(), "a set is not granted while one of its locks is held");
    for name in ["set:a", "set:c"] {
        let lock = scene.lock(name);
        let free = timeout(TIME_LIMIT, lock.acquire()).await;
        assert!(free.is_ok_and(|guard| guard.is_ok()), "a set that was refused holds nothing");
    }
    drop(other);
    scene.nothing_left().await;
}

/// A set that waits holds only locks whose names come before the one that it waits for. Dropped, it leaves nothing behind.
pub async fn sets_that_wait_hold_what_comes_before(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let b = scene.lock("wait:b");
    for dropped in [false, true] {
        let holder = acquired(&b).await;
        let waiting = tokio::spawn(set(&scene, &["wait:c", "wait:b", "wait:a"]).acquire_owned());
        scene.queued(&b, 1).await;
        assert!(at_once(&scene.lock("wait:a")).await.is_none(), "a set that waits holds what comes before");
        let behind = acquired(&scene.lock("wait:c")).await;
        drop(behind);
        if dropped {
            waiting.abort();
            assert!(waiting.await.is_err(), "it waits until it is dropped");
            drop(holder);
        } else {
            kept(holder.release().await, "a held lock can be released");
            match soon(waiting, "a set is granted when its last lock is free").await {
                Ok(Ok(guard)) => _ = kept(guard.release().await, "a held set can be released"),
                other => panic!("a set is granted when its last lock is free: {other:?}"),
            }
        }
        scene.nothing_left().await;
    }
}

/// Sets that want each other's locks are all granted, whatever the order in which they name them.
pub async fn sets_never_deadlock(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let mut tasks = Vec::new();
    let [a, b, c] = ["dead:a", "dead:b", "dead:c"];
    for chosen in [[a, b], [b, a], [b, c], [c, b], [c, a], [a, c]] {
        let set = set(&scene, &chosen);
        tasks.push(tokio::spawn(async move {
            for _ in 0..5 {
                let guard = granted(set.try_acquire(Duration::MAX).await);
                tokio::task::yield_now().await;
                kept(guard.release().await, "a held set can be released");
            }
        }));
    }
    for task in tasks {
        assert!(soon(task, "sets never wait for each other for ever").await.is_ok(), "each set is granted");
    }
    scene.nothing_left().await;
}
