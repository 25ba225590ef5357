//! So many permits, each with a number and a lease of its own.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Subject;
use super::scene::{LONG, SHORT, Scene, acquired, at_once, granted, kept, lease, soon};
use crate::{DistributedLock, LockError, LockMode, LockOptions, Release, Resource};

/// The lock with so many permits, or `None` if the provider has none.
fn semaphore<S: Subject>(scene: &Scene<S>, n: u32) -> Option<DistributedLock> {
    scene.lock_if_supported("pool", of(n, LONG))
}

/// A permit of so many, with a lease of this length without renewal.
fn of(n: u32, ttl: Duration) -> LockOptions {
    lease(ttl).mode(LockMode::permits(n))
}

/// As many callers as there are permits hold one, also over several providers. Each has a number and a token of its own;
/// the lowest free number is given.
pub async fn as_many_hold_as_there_are_permits(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 3) else { return };
    let last = scene.lock_of_another_with("pool", of(3, LONG)).await.unwrap_or_else(|| lock.clone());
    let mut guards = vec![acquired(&lock).await, acquired(&lock).await, acquired(&last).await];
    let mut highest = None;
    for (number, guard) in (0..).zip(&guards) {
        assert_eq!(guard.permit(), Some(number), "the lowest free number is given");
        assert_eq!(guard.mode(), LockMode::permits(3), "a guard says in which mode it holds");
        assert!(Some(guard.fencing_token()) > highest, "each permit has a higher token than those before");
        highest = Some(guard.fencing_token());
    }
    assert!(at_once(&lock).await.is_none(), "no more callers hold permits than there are: one more was granted");
    kept(guards.remove(1).release().await, "a held permit can be released");
    let again = acquired(&lock).await;
    assert_eq!(again.permit(), Some(1), "the lowest free number is given");
    assert!(Some(again.fencing_token()) > highest, "each permit has a higher token than those before");
    assert!(at_once(&last).await.is_none(), "no more callers hold permits than there are: one more was granted");
    drop((again, guards));
    scene.nothing_left().await;
}

/// Permits and an exclusive lock of one name exclude each other.
pub async fn permits_exclude_an_exclusive_holder(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 2) else { return };
    let exclusive = scene.lock("pool");
    let permit = acquired(&lock).await;
    assert!(at_once(&exclusive).await.is_none(), "no caller holds a lock alone while a permit is held");
    let waiting = scene.spawn_waiter(&exclusive, 1).await;
    assert!(at_once(&lock).await.is_none(), "a permit is not granted past a waiter in another mode");
    let before = permit.fencing_token();
    kept(permit.release().await, "a held permit can be released");
    let alone = granted(waiting, "a waiter gets the lock alone when the last permit is back").await;
    assert!(at_once(&lock).await.is_none(), "no permit is held while another caller holds the lock alone");
    assert!(alone.fencing_token() > before, "tokens rise over all modes");
    drop(alone);
    scene.nothing_left().await;
}

/// Many callers take turns. At no time do two have one number, and every number is in its range.
pub async fn no_number_is_given_twice(subject: impl Subject) {
    const PERMITS: u32 = 3;
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, PERMITS) else { return };
    let another = scene.lock_of_another_with("pool", of(PERMITS, LONG)).await.unwrap_or_else(|| lock.clone());
    let taken = Arc::new(Mutex::new(HashSet::new()));
    let (mut tasks, began) = (Vec::new(), Instant::now());
    for caller in 0..8 {
        let (lock, taken) = (if caller % 2 == 0 { lock.clone() } else { another.clone() }, Arc::clone(&taken));
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                // Waiters that poll take their time.
                if began.elapsed() > Duration::from_secs(2) {
                    break;
                }
                let guard = acquired(&lock).await;
                let number = guard.permit();
                assert!(number.is_some_and(|number| number < PERMITS), "a permit has a number: {number:?}");
                let is_new = taken.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
                assert!(is_new, "no number is given twice: {number:?} is held already");
                tokio::task::yield_now().await;
                taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
                kept(guard.release().await, "a held permit can be released");
            }
        }));
    }
    for task in tasks {
        let ended = soon(task, "every caller gets its permits").await;
        assert!(ended.is_ok(), "no number is given twice: {ended:?}");
    }
    scene.nothing_left().await;
}

/// Two permits come back at the same time: both waiters get one. No wake-up is missed.
pub async fn two_permits_come_back_at_once(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 2) else { return };
    for _ in 0..10 {
        let (one, other) = (acquired(&lock).await, acquired(&lock).await);
        let first = scene.spawn_waiter(&lock, 1).await;
        let second = scene.spawn_waiter(&lock, 2).await;
        let released = tokio::join!(tokio::spawn(one.release()), tokio::spawn(other.release()));
        assert!(matches!(released, (Ok(Ok(_)), Ok(Ok(_)))), "held permits can be released: {released:?}");
        let first = granted(first, "two permits that come back at once go to two waiters").await;
        let second = granted(second, "two permits that come back at once go to two waiters").await;
        assert_ne!(first.permit(), second.permit(), "no number is given twice");
    }
    scene.nothing_left().await;
}

/// A holder dies. Its permit, and its number, are free at the end of its own lease, though others hold theirs for longer.
pub async fn dead_holder_gives_its_permit_back(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 2) else { return };
    let dead = acquired(&scene.lock_with("pool", of(2, SHORT))).await;
    let number = dead.permit();
    // A holder that dies releases nothing.
    std::mem::forget(dead);
    let other = acquired(&lock).await;
    assert!(kept(other.extend(LONG).await, "a held permit can be extended"), "a held permit can be extended");
    let next = scene.spawn_waiter(&lock, 1).await;
    let next = granted(next, "the permit of a dead holder is free at the end of its lease").await;
    assert_eq!(next.permit(), number, "the number of a dead holder is given again");
    assert!(other.is_held(), "the end of one lease changes nothing for another holder");
    assert!(at_once(&lock).await.is_none(), "no more callers hold permits than there are: one more was granted");
    drop((other, next));
    scene.nothing_left().await;
}

/// A late release or extension gives nothing back that is another caller's by now.
pub async fn late_holder_gives_nothing_back(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 1) else { return };
    let late = acquired(&scene.lock_with("pool", of(1, SHORT))).await;
    let next = acquired(&lock).await;
    assert_eq!((late.is_held(), next.permit()), (false, Some(0)), "a permit is given again when its lease has ended");
    let extended = kept(late.extend(LONG).await, "an extension after the lease has ended is no error");
    assert!(!extended, "an extension never revives a permit whose lease has ended");
    let released = kept(late.release().await, "a release after the lease has ended is no error");
    assert_eq!(released, Release::AlreadyLost, "a release after the lease has ended says that the permit was lost");
    assert!(next.is_held(), "a late release leaves the next holder alone");
    assert!(at_once(&lock).await.is_none(), "a late release gives no permit back: one more was granted");
    drop(next);
    scene.nothing_left().await;
}

/// An attempt without waiting does not overtake a waiter that has not been polled since a permit came back.
pub async fn tries_do_not_overtake_for_a_permit(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 2) else { return };
    let (one, other) = (acquired(&lock).await, acquired(&lock).await);
    let mut waiting = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut waiting, &lock, 1).await;
    kept(one.release().await, "a held permit can be released");
    assert!(at_once(&lock).await.is_none(), "an attempt does not overtake a waiter: it was granted a permit");
    let guard = kept(soon(waiting, "a waiter gets the permit").await, "a waiter gets the permit");
    assert!(guard.is_held(), "a granted permit is held");
    drop((other, guard));
    scene.nothing_left().await;
}

/// Callers come with different numbers, as during a change of a limit. Each is judged by its own, and in its turn.
pub async fn each_is_judged_by_its_own_number(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(two) = semaphore(&scene, 2) else { return };
    let (one, three) = (scene.lock_with("pool", of(1, LONG)), scene.lock_with("pool", of(3, LONG)));
    let guards = (acquired(&two).await, acquired(&two).await);
    assert!(at_once(&two).await.is_none(), "no more callers hold permits than their number allows: it was granted");
    let third = at_once(&three).await;
    let number = third.as_ref().and_then(crate::LockGuard::permit);
    assert_eq!(number, Some(2), "a caller with a higher number is judged by that");
    drop(third);
    // The one with the lowest number waits until both are back. No other passes it meanwhile.
    let strict = scene.spawn_waiter(&one, 1).await;
    assert!(at_once(&three).await.is_none(), "no caller overtakes a waiter with a lower number");
    let behind = scene.spawn_waiter(&three, 2).await;
    kept(guards.0.release().await, "a held permit can be released");
    assert!(!strict.is_finished() && !behind.is_finished(), "no waiter is overtaken: a waiter has ended its wait");
    kept(guards.1.release().await, "a held permit can be released");
    let strict = granted(strict, "a waiter gets a permit when fewer than its number are held").await;
    let behind = granted(behind, "a waiter with a higher number is granted with the one before it").await;
    assert_eq!((strict.permit(), behind.permit()), (Some(0), Some(1)), "the lowest free number is given");
    drop((strict, behind));
    scene.nothing_left().await;
}

/// A caller is dropped when it has just been granted a permit: the one behind it gets it.
pub async fn cancelled_permit_is_handed_over(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 2) else { return };
    let (one, other) = (acquired(&lock).await, acquired(&lock).await);
    let mut dying = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut dying, &lock, 1).await;
    let behind = scene.spawn_waiter(&lock, 2).await;
    kept(one.release().await, "a held permit can be released");
    drop(dying);
    let behind = granted(behind, "when a caller dies that was just granted a permit, the one behind it gets it").await;
    assert_eq!(behind.permit(), Some(0), "the lowest free number is given");
    drop((other, behind));
    scene.nothing_left().await;
}

/// A permit is extended past its first lease, and stays its holder's.
pub async fn permits_are_extended(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 1) else { return };
    let guard = acquired(&scene.lock_with("pool", of(1, SHORT))).await;
    assert!(kept(guard.extend(LONG).await, "a held permit can be extended"), "a held permit can be extended");
    tokio::time::sleep(2 * SHORT).await;
    assert!(guard.is_held(), "an extended permit is held past its first lease");
    assert!(at_once(&lock).await.is_none(), "an extended permit is held past its first lease: it was given away");
    drop(guard);
    scene.nothing_left().await;
}

/// Zero permits, and more than a million, are refused with the range.
pub async fn bad_numbers_of_permits_are_refused(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    for n in [0, LockMode::MAX_PERMITS + 1, u32::MAX] {
        let resource = kept(Resource::try_from("pool"), "a plain name is a resource");
        let answer = scene.provider.create_lock(resource, of(n, LONG));
        assert!(
            matches!(answer, Err(LockError::InvalidOptions { .. })),
            "a number of permits out of its range is refused: {n} was {answer:?}"
        );
    }
}

/// A close ends all permits, and the waits for one.
pub async fn closed_with_permits(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some(lock) = semaphore(&scene, 2) else { return };
    let guards = [acquired(&lock).await, acquired(&lock).await];
    scene.close_ends_all(&lock, guards).await;
}
