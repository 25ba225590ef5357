//! An expired lease changes nothing any more.

use super::Subject;
use super::scene::{LONG, SHORT, Scene, acquired, at_once, kept, lease, soon};
use crate::Release;

/// A late release answers `AlreadyLost`, and does not affect the next holder.
pub async fn release_after_expiry_leaves_the_next_holder(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let late = acquired(&scene.lock_with("late", lease(SHORT))).await;
    let lock = scene.lock("late");
    let next = acquired(&lock).await;
    assert!(!late.is_held(), "one holder at a time: the expired holder still holds the lock");
    let released = kept(late.release().await, "a release after the lease has ended is no error");
    assert_eq!(released, Release::AlreadyLost, "a release after the lease has ended says that the lock was lost");
    assert!(next.is_held(), "a late release leaves the next holder alone: its lock is gone");
    assert!(at_once(&lock).await.is_none(), "a late release leaves the next holder alone: a third has the lock");
    let released = kept(next.release().await, "a held lock can be released");
    assert_eq!(released, Release::Released, "a late release leaves the next holder alone: it had lost the lock");
    scene.nothing_left().await;
}

/// An extension does not revive a lease that has ended, even if the lock is free.
pub async fn extend_after_expiry_does_not_revive(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let late = acquired(&scene.lock_with("late", lease(SHORT))).await;
    soon(late.lost(), "a lease that is not renewed ends").await;
    let extended = kept(late.extend(LONG).await, "an extension after the lease has ended is no error");
    assert!(!extended, "an extension never revives a lease that has ended: it said that it did");
    assert!(!late.is_held(), "an extension never revives a lease that has ended: the lock is held");
    assert!(late.remaining().is_zero(), "nothing remains of a lease that has ended");
    let next = at_once(&scene.lock("late")).await;
    assert!(next.is_some(), "an extension never revives a lease that has ended: the lock is not free");
}

/// An extension of a lease that has ended does not affect the next holder.
pub async fn extend_after_expiry_leaves_the_next_holder(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let late = acquired(&scene.lock_with("late", lease(SHORT))).await;
    let next = acquired(&scene.lock_with("late", lease(4 * SHORT))).await;
    let extended = kept(late.extend(LONG).await, "an extension after the lease has ended is no error");
    assert!(!extended, "an extension never touches another's lock: it said that it did");
    assert!(!late.is_held(), "an extension never revives a lease that has ended: the lock is held");
    assert!(next.is_held(), "an extension never touches another's lock: the next holder's is gone");
    assert!(next.remaining() <= 4 * SHORT, "an extension never touches another's lock: its lease is longer now");
    // On the backend as well: the lock is free when the next holder's own lease has ended.
    let third = acquired(&scene.lock("late")).await;
    assert!(!next.is_held(), "one holder at a time: the expired holder still holds the lock");
    drop(third);
    drop((late, next));
    scene.nothing_left().await;
}

/// A waiter is granted the lock, and is not polled until that lease has ended. It does not get a lost lock: it waits on,
/// and is granted the lock again.
pub async fn expired_before_the_waiter_looked(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let holder = acquired(&scene.lock("late")).await;
    let lock = scene.lock_with("late", lease(SHORT));
    let mut waiting = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut waiting, &lock, 1).await;
    kept(holder.release().await, "a held lock can be released");
    tokio::time::sleep(2 * SHORT).await;
    let guard = kept(soon(waiting, "a waiter gets the lock").await, "a waiter gets the lock");
    assert!(guard.is_held(), "a waiter gets a lock that is held, however late it is polled: it is lost");
    drop(guard);
    scene.nothing_left().await;
}
