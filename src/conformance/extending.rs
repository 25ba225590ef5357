//! Extension, automatic renewal, and the longest hold.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Subject;
use super::scene::{LONG, SHORT, Scene, TIME_LIMIT, acquired, at_once, granted, kept, lease, soon};
use crate::{LockError, LockOptions, Release};

/// An extended lease outlives its first length.
pub async fn extend_past_the_first_ttl(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("extended", lease(SHORT));
    let guard = acquired(&lock).await;
    assert!(guard.remaining() <= SHORT, "a lease is not longer than its length");
    let lost = guard.lost();
    assert!(kept(guard.extend(LONG).await, "a held lock can be extended"), "a held lock can be extended");
    let remaining = guard.remaining();
    assert!(remaining <= LONG, "an extended lease lasts for the new length: {remaining:?} remain");
    assert!(
        remaining > LONG.saturating_sub(TIME_LIMIT),
        "an extended lease lasts for the new length: {remaining:?} remain"
    );
    let lost = timeout(2 * SHORT, lost).await;
    assert!(lost.is_err(), "an extended lease outlives its first length: its loss was signalled");
    assert!(guard.is_held(), "an extended lease outlives its first length: it is not held");
    assert!(at_once(&lock).await.is_none(), "an extended lease outlives its first length: the lock is free");
    let released = kept(guard.release().await, "a held lock can be released");
    assert_eq!(released, Release::Released, "an extended lease outlives its first length: it was lost");
    scene.nothing_left().await;
}

/// An extension to less than what remains shortens the lease.
pub async fn extend_to_shorter(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("shortened");
    let guard = acquired(&lock).await;
    let lost = tokio::spawn(guard.lost());
    assert!(kept(guard.extend(SHORT).await, "a held lock can be shortened"), "a held lock can be shortened");
    assert!(guard.remaining() <= SHORT, "a shortened lease lasts for the new length: {:?} remain", guard.remaining());
    let signalled = soon(lost, "a shortened lease ends at its new end, and the loss is signalled").await;
    assert!(signalled.is_ok(), "a shortened lease ends at its new end, and the loss is signalled");
    assert!(!guard.is_held(), "a shortened lease ends at its new end");
    drop(acquired(&lock).await);
    drop(guard);
    scene.nothing_left().await;
}

/// A waiter does not wait for the former end of a lease that was shortened.
pub async fn extend_to_shorter_wakes_a_waiter(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("shortened");
    let guard = acquired(&lock).await;
    let waiting = scene.spawn_waiter(&lock, 1).await;
    assert!(kept(guard.extend(SHORT).await, "a held lock can be shortened"), "a held lock can be shortened");
    let next = granted(waiting, "a waiter gets a shortened lock at its new end").await;
    assert!(!guard.is_held(), "one holder at a time: the expired holder still holds the lock");
    drop((guard, next));
    scene.nothing_left().await;
}

/// With automatic renewal the lock is held for as long as its guard lives.
pub async fn auto_renew_outlives_several_ttls(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("renewed", LockOptions::default().ttl(SHORT));
    let guard = acquired(&lock).await;
    let lost = tokio::spawn(guard.lost());
    for _ in 0..10 {
        sleep(SHORT / 2).await;
        assert!(guard.is_held(), "a renewed lease outlives its length: it is not held");
        assert!(at_once(&lock).await.is_none(), "a renewed lease outlives its length: the lock is free");
        assert!(guard.remaining() <= SHORT, "a renewed lease is never longer than its length");
    }
    assert!(!lost.is_finished(), "a renewed lease outlives its length: its loss was signalled");
    lost.abort();
    let released = kept(guard.release().await, "a held lock can be released");
    assert_eq!(released, Release::Released, "a renewed lease outlives its length: it was lost");
    scene.nothing_left().await;
}

/// No renewal extends the lease past `max_hold`. It ends there, as a loss.
pub async fn max_hold_ends_as_loss(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let longest = 5 * SHORT / 2;
    let lock = scene.lock_with("longest", LockOptions::default().ttl(SHORT).max_hold(Some(longest)));
    let began = Instant::now();
    let guard = acquired(&lock).await;
    let waiting = scene.spawn_waiter(&scene.lock("longest"), 1).await;
    soon(guard.lost(), "the longest hold ends as a loss").await;
    let held = began.elapsed();
    // A holder counts a little less than the lease, to allow for clock drift.
    assert!(held > longest * 9 / 10, "a renewed lease lasts until the longest hold: it was {held:?}");
    assert!(held < longest + Duration::from_millis(500), "no renewal goes past the longest hold: it was {held:?}");
    assert!(!guard.is_held(), "the longest hold ends as a loss: the lock is held");
    let next = granted(waiting, "a waiter gets the lock after the longest hold").await;
    let released = kept(guard.release().await, "a release after the longest hold is no error");
    assert_eq!(released, Release::AlreadyLost, "the longest hold ends as a loss: the release says otherwise");
    drop(next);
    scene.nothing_left().await;
}

/// An extension past `max_hold` is refused, and changes nothing.
pub async fn extend_past_max_hold_is_refused(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let options = lease(LONG).max_hold(Some(2 * LONG));
    let guard = acquired(&scene.lock_with("longest", options)).await;
    let refused = guard.extend(3 * LONG).await;
    assert!(
        matches!(refused, Err(LockError::InvalidOptions { .. })),
        "an extension past the longest hold is refused as an option out of range: it was {refused:?}"
    );
    assert!(guard.remaining() <= LONG, "a refused extension changes nothing");
    assert!(kept(guard.extend(LONG).await, "a held lock can be extended"), "a refused extension changes nothing");
}
