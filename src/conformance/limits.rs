//! Bad names, options out of range, and the limit on waiters.

use std::time::Duration;

use super::Subject;
use super::scene::{LONG, Scene, acquired, at_once, granted, kept, lease, soon};
use crate::{DistributedLock, LockError, LockGuard, LockOptions, Resource};

/// An invalid name is refused as `InvalidResource`. The longest valid name works.
pub async fn bad_names_are_refused(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    for bad in ["", "a\nb", "a\0", "\u{7f}", "a\u{85}", &"a".repeat(Resource::MAX_BYTES + 1)] {
        let refused = Resource::try_from(bad);
        assert!(
            matches!(refused, Err(LockError::InvalidResource { .. })),
            "a name that is not a resource is refused as InvalidResource: {bad:?} gave {refused:?}"
        );
    }
    for good in [&"ä".repeat(Resource::MAX_BYTES / 2), " ", "a'b\"c;d`e$f", "🔒", "%2e", "\u{202e}"] {
        let guard = at_once(&scene.lock(good)).await;
        assert!(guard.is_some(), "every name that is a resource can be locked: {good:?} cannot");
        assert!(at_once(&scene.lock(good)).await.is_none(), "one holder at a time: {good:?} was granted twice");
    }
    scene.nothing_left().await;
}

/// Options out of range are refused when the lock is made. An extension out of range changes nothing.
pub async fn bad_options_are_refused(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let resource = || kept(Resource::try_from("options"), "a plain name is a resource");
    let (least, most) = (LockOptions::MIN_TTL, LockOptions::MAX_TTL);
    let nanosecond = Duration::from_nanos(1);
    let (shorter, longer) = (least.saturating_sub(nanosecond), most.saturating_add(nanosecond));
    let bad = [
        lease(Duration::ZERO),
        lease(shorter),
        lease(longer),
        lease(Duration::MAX),
        lease(least).max_hold(Some(Duration::ZERO)),
        lease(least).max_hold(Some(shorter)),
    ];
    for options in bad {
        let refused = scene.provider.create_lock(resource(), options);
        assert!(
            matches!(refused, Err(LockError::InvalidOptions { .. })),
            "options out of range are refused as InvalidOptions: {options:?} gave {refused:?}"
        );
    }
    for good in
        [lease(least), lease(most), lease(least).max_hold(Some(least)), lease(most).max_hold(Some(Duration::MAX))]
    {
        drop(granted_at_last(&scene.lock_with("options", good)).await);
    }
    let guard = acquired(&scene.lock("options")).await;
    for bad in [Duration::ZERO, shorter, longer, Duration::MAX] {
        let refused = guard.extend(bad).await;
        assert!(
            matches!(refused, Err(LockError::InvalidOptions { .. })),
            "an extension out of range is refused as InvalidOptions: {bad:?} gave {refused:?}"
        );
        assert!(guard.is_held() && guard.remaining() <= LONG, "a refused extension changes nothing");
    }
    drop(guard);
    scene.nothing_left().await;
}

/// Acquires a lock whose lease may be over before its grant arrives, which is an error, and no refusal of the options.
async fn granted_at_last(lock: &DistributedLock) -> LockGuard {
    let attempts = async {
        loop {
            match lock.acquire().await {
                Err(LockError::Unavailable { .. }) => {}
                answer => return answer,
            }
        }
    };
    kept(soon(attempts, "options within range are granted").await, "options within range are granted")
}

/// At most `max_waiters` callers wait, not counting the holder. One more is refused, unless it does not want to wait.
pub async fn waiters_are_limited(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("limited", lease(LONG).max_waiters(Some(2)));
    let guard = acquired(&lock).await;
    let first = scene.spawn_waiter(&lock, 1).await;
    let second = scene.spawn_waiter(&lock, 2).await;
    let refused = soon(lock.try_acquire(LONG), "one waiter too many is refused at once").await;
    assert!(
        matches!(refused, Err(LockError::TooManyWaiters)),
        "one waiter too many is refused as TooManyWaiters: it was {refused:?}"
    );
    assert!(
        at_once(&lock).await.is_none(),
        "a caller that does not wait is no waiter too many: the lock is held by another"
    );
    // The place of a cancelled waiter can be taken again.
    first.abort();
    scene.queued(&lock, 1).await;
    let third = scene.spawn_waiter(&lock, 2).await;
    kept(guard.release().await, "a held lock can be released");
    drop(granted(second, "a waiter within the limit gets the lock").await);
    drop(granted(third, "a waiter within the limit gets the lock").await);
    scene.nothing_left().await;
}

/// With a limit of zero no caller waits, and a free lock is still granted.
pub async fn no_caller_waits_with_a_limit_of_zero(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("limited", lease(LONG).max_waiters(Some(0)));
    let guard = acquired(&lock).await;
    let refused = soon(lock.try_acquire(LONG), "one waiter too many is refused at once").await;
    assert!(
        matches!(refused, Err(LockError::TooManyWaiters)),
        "with a limit of zero a waiter is refused as TooManyWaiters: it was {refused:?}"
    );
    assert!(
        at_once(&lock).await.is_none(),
        "a caller that does not wait is no waiter too many: the lock is held by another"
    );
    assert_eq!(scene.waiters(&lock).await, 0, "with a limit of zero no caller waits");
    drop(guard);
    scene.nothing_left().await;
}
