//! What a lease that has expired can do no more.

use super::Subject;
use super::scene::{LONG, SHORT, Scene, acquired, at_once, kept, lease, soon};
use crate::Release;

/// A late release says that the lock had been lost, and leaves the next holder alone.
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

/// A lease that has ended is not revived by an extension, although nobody else has taken the lock.
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

/// A lease that has ended is not extended at the cost of the next holder.
pub async fn extend_after_expiry_leaves_the_next_holder(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let late = acquired(&scene.lock_with("late", lease(SHORT))).await;
    let next = acquired(&scene.lock_with("late", lease(4 * SHORT))).await;
    let extended = kept(late.extend(LONG).await, "an extension after the lease has ended is no error");
    assert!(!extended, "an extension never touches another's lock: it said that it did");
    assert!(!late.is_held(), "an extension never revives a lease that has ended: the lock is held");
    assert!(next.is_held(), "an extension never touches another's lock: the next holder's is gone");
    assert!(next.remaining() <= 4 * SHORT, "an extension never touches another's lock: its lease is longer now");
    // In the backend as well: the lock is free when the next holder's own lease has ended.
    let third = acquired(&scene.lock("late")).await;
    assert!(!next.is_held(), "one holder at a time: the expired holder still holds the lock");
    drop(third);
    drop((late, next));
    scene.nothing_left().await;
}

/// A waiter that is granted the lock, and does not look for so long that its lease ends, is not given a lock that
/// has been lost: it goes on waiting, and is granted another.
pub async fn expired_before_the_waiter_looked(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let holder = acquired(&scene.lock("late")).await;
    let lock = scene.lock_with("late", lease(SHORT));
    let mut waiting = Box::pin(lock.acquire());
    scene.line_up(&mut waiting, &lock, 1).await;
    kept(holder.release().await, "a held lock can be released");
    tokio::time::sleep(2 * SHORT).await;
    let guard = kept(soon(waiting, "whoever waits gets the lock").await, "whoever waits gets the lock");
    assert!(guard.is_held(), "whoever waits gets a lock that is held, however late it looks: it is lost");
    drop(guard);
    scene.nothing_left().await;
}
