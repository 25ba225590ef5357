//! A lock stays taken for its least time, also after its release.

use std::time::Duration;

use tokio::time::Instant;

use super::Subject;
use super::scene::{LONG, SHORT, Scene, acquired, at_once, granted, kept, lease, soon};
use crate::{DistributedLock, LockError, LockMode, LockOptions, Release, Resource};

/// Long enough to be seen, and over within a test.
const LEAST: Duration = SHORT.saturating_mul(2);

/// Clocks of two machines, and timers, may differ by so much within [`LEAST`].
const TOLERANCE: Duration = Duration::from_millis(50);

fn keeping(least: Duration) -> LockOptions {
    lease(LONG).at_least(least)
}

/// Lets go of a lock that was granted after `asked`, and waits until the next caller has it: not before the least time is
/// over, and not long after it.
async fn next_comes_in_time<S: Subject>(scene: &Scene<S>, asked: Instant, next: &DistributedLock) {
    assert!(at_once(next).await.is_none(), "a lock stays taken for its least time: it was granted at once");
    let waiting = scene.spawn_waiter(next, 1).await;
    let guard = granted(waiting, "a waiter gets the lock when its least time is over").await;
    let passed = asked.elapsed();
    assert!(passed + TOLERANCE >= LEAST, "a lock stays taken for its least time: it was granted after {passed:?}");
    assert!(guard.is_held(), "a granted lock is held");
    kept(guard.release().await, "a held lock can be released");
    scene.nothing_left().await;
}

/// After a release before its least time the lock stays taken for the rest of it. The guard is gone.
pub async fn released_lock_is_kept(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = scene.lock_if_supported("job", keeping(LEAST)) else { return };
    let asked = Instant::now();
    let guard = acquired(&lock).await;
    let handle = guard.handle();
    let released = kept(guard.release().await, "a held lock can be released");
    assert_eq!(released, Release::Released, "a release before the least time is a release");
    assert!(!handle.is_held(), "no caller holds a lock that was released, also while it is kept");
    next_comes_in_time(&scene, asked, &scene.lock("job")).await;
}

/// The same for a guard that is dropped while a caller waits already.
pub async fn dropped_lock_is_kept(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = scene.lock_if_supported("job", keeping(LEAST)) else { return };
    let asked = Instant::now();
    let guard = acquired(&lock).await;
    let next = scene.lock("job");
    let waiting = scene.spawn_waiter(&next, 1).await;
    drop(guard);
    let guard = granted(waiting, "a waiter gets the lock when its least time is over").await;
    let passed = asked.elapsed();
    assert!(passed + TOLERANCE >= LEAST, "a lock stays taken for its least time: it was granted after {passed:?}");
    drop(guard);
    scene.nothing_left().await;
}

/// A lock that was held for longer than its least time is free at once.
pub async fn lock_held_longer_is_free_at_once(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = scene.lock_if_supported("job", keeping(SHORT)) else { return };
    let guard = acquired(&lock).await;
    tokio::time::sleep(SHORT + TOLERANCE).await;
    kept(guard.release().await, "a held lock can be released");
    let next = at_once(&scene.lock("job")).await;
    assert!(next.is_some(), "a lock that was held for its least time is free after its release");
    drop(next);
    scene.nothing_left().await;
}

/// A lock that is lost is not kept: the least time is for a release alone.
pub async fn lost_lock_is_not_kept(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = scene.lock_if_supported("job", lease(SHORT).at_least(LONG)) else { return };
    let late = acquired(&lock).await;
    let next = acquired(&scene.lock("job")).await;
    assert!(!late.is_held(), "one holder at a time: the expired holder still holds the lock");
    let released = kept(late.release().await, "a release after the lease has ended is no error");
    assert_eq!(released, Release::AlreadyLost, "a release after the lease has ended says that the lock was lost");
    assert!(next.is_held(), "a late release leaves the next holder alone");
    kept(next.release().await, "a held lock can be released");
    let third = at_once(&scene.lock("job")).await;
    assert!(third.is_some(), "a late release keeps nothing taken");
    drop(third);
    scene.nothing_left().await;
}

/// An acquire that is cancelled when it has just been granted the lock had no guard, so nothing is kept.
pub async fn cancelled_acquire_keeps_nothing(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = scene.lock_if_supported("job", keeping(LONG)) else { return };
    let plain = scene.lock("job");
    let holder = acquired(&plain).await;
    let mut dying = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut dying, &lock, 1).await;
    kept(holder.release().await, "a held lock can be released");
    drop(dying);
    let next = soon(plain.acquire(), "a cancelled acquire keeps nothing taken").await;
    drop(kept(next, "a cancelled acquire keeps nothing taken"));
    scene.nothing_left().await;
}

/// Callers that try over and over, and release at once, get the lock at most once per interval.
pub async fn at_most_once_per_interval(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = scene.lock_if_supported("job", keeping(SHORT)) else { return };
    let another = scene.lock_of_another_with("job", keeping(SHORT)).await.unwrap_or_else(|| lock.clone());
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < 3 * SHORT {
        for lock in [&lock, &another] {
            let asked = Instant::now();
            if let Some(guard) = at_once(lock).await {
                times.push((asked, Instant::now()));
                kept(guard.release().await, "a held lock can be released");
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(times.len() >= 2, "a lock whose least time is over is free: it was granted {} times", times.len());
    for pair in times.windows(2) {
        if let [(asked, _), (_, answered)] = pair {
            let between = answered.duration_since(*asked);
            assert!(between + TOLERANCE >= SHORT, "at most once per interval: granted again after {between:?}");
        }
    }
    drop(acquired(&scene.lock("job")).await);
    scene.nothing_left().await;
}

/// The share of a reader stays taken: a writer waits for it, and other readers do not.
pub async fn reader_is_kept(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let shared = keeping(LEAST).mode(LockMode::Shared);
    let Some(lock) = scene.lock_if_supported("job", shared) else { return };
    let asked = Instant::now();
    kept(acquired(&lock).await.release().await, "a held lock can be released");
    let other = at_once(&scene.lock_with("job", lease(LONG).mode(LockMode::Shared))).await;
    assert!(other.is_some(), "a reader holds the lock beside the share of another that is kept");
    drop(other);
    next_comes_in_time(&scene, asked, &scene.lock("job")).await;
}

/// The number of a permit stays taken.
pub async fn permit_is_kept(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let permits = LockMode::permits(2);
    let Some(lock) = scene.lock_if_supported("job", keeping(LEAST).mode(permits)) else { return };
    let plain = scene.lock_with("job", lease(LONG).mode(permits));
    let asked = Instant::now();
    kept(acquired(&lock).await.release().await, "a held permit can be released");
    let other = acquired(&plain).await;
    assert_eq!(other.permit(), Some(1), "the number of a permit stays taken for its least time");
    let waiting = scene.spawn_waiter(&plain, 1).await;
    let guard = granted(waiting, "a waiter gets the permit when its least time is over").await;
    let passed = asked.elapsed();
    assert!(passed + TOLERANCE >= LEAST, "a permit stays taken for its least time: it was granted after {passed:?}");
    assert_eq!(guard.permit(), Some(0), "the number of a permit is free when its least time is over");
    drop((other, guard));
    scene.nothing_left().await;
}

/// More than 24 hours, and more than the longest hold, are refused.
pub async fn bad_least_times_are_refused(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let day = LockOptions::MAX_AT_LEAST;
    for options in [keeping(day + SHORT), keeping(2 * SHORT).max_hold(Some(SHORT))] {
        let resource = kept(Resource::try_from("job"), "a plain name is a resource");
        let answer = scene.provider.create_lock(resource, options);
        assert!(
            matches!(answer, Err(LockError::InvalidOptions { .. })),
            "a least time out of its range is refused: {options:?} was {answer:?}"
        );
    }
}
