//! Threads without a runtime, and closing the provider.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::time::timeout;

use super::Subject;
use super::scene::{Scene, acquired, at_once, kept, soon};
use crate::{LockError, Release};

/// A guard that is dropped on a thread without a runtime frees its lock.
pub async fn guard_dropped_without_a_runtime(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("thread");
    let guard = acquired(&lock).await;
    let waiting = scene.spawn_waiter(&lock, 1).await;
    let dropped = thread::spawn(move || drop(guard)).join();
    assert!(dropped.is_ok(), "a guard can be dropped on a thread without a runtime: it panicked");
    let next =
        super::scene::granted(waiting, "a guard that is dropped on a thread without a runtime frees its lock").await;
    let dropped = thread::spawn(move || drop(next)).join();
    assert!(dropped.is_ok(), "a guard can be dropped on a thread without a runtime: it panicked");
    drop(acquired(&lock).await);
    scene.nothing_left().await;
}

/// Acquiring outside a runtime is `NoRuntime`, and no panic.
pub async fn acquire_without_a_runtime_is_an_error(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("thread");
    let held = acquired(&scene.lock("held")).await;
    for lock in [lock, scene.lock("held")] {
        let answer = thread::spawn(move || {
            let mut acquire = pin!(lock.try_acquire(Duration::from_secs(1)));
            match acquire.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => Some(answer.map(|guard| guard.is_some())),
                Poll::Pending => None,
            }
        });
        let Ok(answer) = answer.join() else { panic!("acquiring outside a runtime does not panic: it did") };
        assert!(
            matches!(answer, Some(Err(LockError::NoRuntime))),
            "acquiring outside a runtime is NoRuntime, at once: it was {answer:?}"
        );
    }
    drop(held);
    scene.nothing_left().await;
}

/// Closing releases held locks, which their guards see as a loss, and refuses later acquires.
pub async fn closed_with_locks_held(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("closed");
    let (guard, other) = (acquired(&lock).await, acquired(&scene.lock("other")).await);
    let watching = tokio::spawn(guard.lost());
    kept(scene.provider.check().await, "an open provider can grant locks");
    soon(scene.provider.close(), "closing ends").await;
    assert!(!guard.is_held() && !other.is_held(), "closing releases held locks: one is held");
    let signalled = soon(watching, "closing is a loss for every holder").await;
    assert!(signalled.is_ok(), "closing is a loss for every holder");
    let lost = timeout(Duration::from_millis(50), other.lost()).await;
    assert!(lost.is_ok(), "closing is a loss for every holder, also if it asks later");
    let extended = guard.extend(Duration::from_secs(1)).await;
    assert!(!matches!(extended, Ok(true)), "nothing is extended after closing: it was {extended:?}");
    let released = guard.release().await;
    assert!(
        matches!(released, Ok(Release::AlreadyLost)),
        "a release after closing says that the lock was lost: it was {released:?}"
    );
    drop(other);
    for answer in [lock.try_acquire(Duration::ZERO).await, lock.try_acquire(Duration::from_secs(1)).await] {
        assert!(matches!(answer, Err(LockError::Closed)), "acquiring after closing is Closed: it was {answer:?}");
    }
    let answer = scene.provider.check().await;
    assert!(matches!(answer, Err(LockError::Closed)), "a check after closing is Closed: it was {answer:?}");
    soon(scene.provider.close(), "closing twice ends").await;
    scene.nothing_left().await;
}

/// Closing ends every wait, with `Closed`.
pub async fn closed_with_waiters(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("closed");
    let Some(guard) = at_once(&lock).await else { panic!("a free lock is granted in one attempt") };
    let mut waiting = Vec::new();
    for place in 1..=3 {
        let lock_of_task = lock.clone();
        waiting.push(tokio::spawn(async move { lock_of_task.acquire().await }));
        scene.queued(&lock, place).await;
    }
    soon(scene.provider.close(), "closing ends").await;
    for task in waiting {
        let answer = soon(task, "closing ends every wait").await;
        assert!(matches!(answer, Ok(Err(LockError::Closed))), "closing ends every wait with Closed: it was {answer:?}");
    }
    drop(guard);
    scene.nothing_left().await;
}
