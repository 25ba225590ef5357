//! The loss signal: once, early enough, and never for the holder's own release.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Subject;
use super::scene::{SHORT, Scene, acquired, granted, kept, lease, soon};

/// The signal comes at the end of the lease, before another caller is granted the lock.
pub async fn loss_is_signalled_in_time(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let began = Instant::now();
    let guard = acquired(&scene.lock_with("lost", lease(SHORT))).await;
    let lost = guard.lost();
    let signalled = tokio::spawn(async move {
        lost.await;
        Instant::now()
    });
    let waiting = scene.spawn_waiter(&scene.lock("lost"), 1).await;
    let next = granted(waiting, "a waiter gets the lock when the lease has ended").await;
    assert!(!guard.is_held(), "a lock is lost for its holder before another is granted it: it is held");
    let granted = Instant::now();
    let Ok(signalled) = soon(signalled, "a loss is signalled").await else { panic!("a loss is signalled") };
    // A holder counts a little less than the lease, to allow for clock drift.
    assert!(signalled - began > SHORT * 8 / 10, "a loss is not signalled long before the lease ends");
    let late = signalled.saturating_duration_since(granted);
    assert!(late < Duration::from_millis(200), "a loss is signalled in time: {late:?} after the next grant");
    drop((guard, next));
    scene.nothing_left().await;
}

/// A loss is final for every view of the lock, also if the name is locked again later.
pub async fn loss_is_final(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let guard = acquired(&scene.lock_with("lost", lease(SHORT))).await;
    let (handle, watching) = (guard.handle(), tokio::spawn(guard.lost()));
    soon(guard.lost(), "a lease that is not renewed ends").await;
    let watched = soon(watching, "a loss is signalled to every task that waits for it").await;
    assert!(watched.is_ok(), "a loss is signalled to every task that waits for it");
    for _ in 0..3 {
        assert!(!guard.is_held() && !handle.is_held(), "a loss is final: the lock is held again");
        assert!(guard.remaining().is_zero() && handle.remaining().is_zero(), "a loss is final: some time remains");
        assert!(guard.expires_at() <= Instant::now(), "a lease that has ended has its end in the past");
        drop(acquired(&scene.lock("lost")).await);
    }
    drop(guard);
    scene.nothing_left().await;
}

/// The holder's own release is no loss, neither at once nor when the lease would have ended.
pub async fn loss_is_never_signalled_on_release(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("released", lease(SHORT));
    let guard = acquired(&lock).await;
    let lost = guard.lost();
    kept(guard.release().await, "a held lock can be released");
    assert!(timeout(2 * SHORT, lost).await.is_err(), "a release is no loss: one was signalled");
    let guard = acquired(&lock).await;
    let lost = tokio::spawn(guard.lost());
    drop(guard);
    assert!(timeout(2 * SHORT, lost).await.is_err(), "a dropped guard is no loss: one was signalled");
    scene.nothing_left().await;
}

/// A signal that is asked for after the loss resolves at once.
pub async fn loss_before_it_is_asked_for(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let guard = acquired(&scene.lock_with("lost", lease(SHORT))).await;
    let handle = guard.handle();
    // No task watches the lease, so only the clock can tell.
    tokio::time::sleep(SHORT + Duration::from_millis(50)).await;
    assert!(!guard.is_held(), "the clock decides whether a lock is held, also when no task watches it: it is held");
    for lost in [guard.lost(), handle.lost(), handle.lost()] {
        assert!(
            timeout(Duration::from_millis(20), lost).await.is_ok(),
            "a signal that is asked for after the loss resolves at once"
        );
    }
}

/// After the release a handle is not held, and signals no loss.
pub async fn handles_after_release(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let guard = acquired(&scene.lock("handle")).await;
    let (handle, other) = (guard.handle(), guard.handle().clone());
    assert!(handle.is_held() && other.is_held(), "a handle shows that the lock is held");
    assert_eq!(handle.fencing_token(), guard.fencing_token(), "a handle has its guard's token");
    let (token, lost) = (guard.fencing_token(), handle.lost());
    kept(guard.release().await, "a held lock can be released");
    assert!(!handle.is_held() && !other.is_held(), "after the release a handle is not held");
    assert!(handle.remaining().is_zero(), "after the release nothing remains of the lease");
    assert_eq!(handle.resource().as_str(), "handle", "after the release a handle still says what it was for");
    assert_eq!(handle.fencing_token(), token, "after the release a handle still has its token");
    let quiet = timeout(Duration::from_millis(50), lost).await.is_err();
    assert!(quiet, "a release is no loss: one was signalled to a handle");
    drop(acquired(&scene.lock("handle")).await);
    assert!(!handle.is_held(), "a handle of a released lock is not held when another caller holds it");
    scene.nothing_left().await;
}
