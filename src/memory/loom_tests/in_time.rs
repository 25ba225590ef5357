//! Models in which time passes: leases end, are extended and are lost; waits end; timers wake.

use std::task::Poll;

use super::scene::{Acquire, LEASE, Scene, block_on, ending, poll_once, run_in_time, unless_closed};
use crate::backend::Release;
use crate::sync::modelled::Depth::Bounded;
use crate::sync::modelled::advance;
use crate::types::Wait;
use crate::{LockGuard, LockOptions};

const PASS: fn(&Scene) = |_| advance(LEASE);
const HOLD: fn(&Scene) = Scene::acquire_and_hold_while_it_lasts;
const CANCEL: fn(&Scene) = |scene| scene.acquire_and_cancel_while_it_lasts(1);
const TRY: fn(&Scene) = |scene| {
    if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut scene.acquire_with(ending(), Wait::No)) {
        scene.hold_while_it_lasts(guard);
    }
};

fn acquired(scene: &Scene) -> LockGuard {
    let guard = scene.acquired(ending());
    scene.granted(&guard);
    guard
}

fn released(guard: LockGuard) -> Release {
    block_on(Box::pin(guard.release())).unwrap()
}

/// The holder does nothing until its lease has ended.
fn keep(scene: &Scene, guard: LockGuard) -> LockGuard {
    scene.holds(&guard);
    guard
}

fn too_late(scene: &Scene, guard: LockGuard) {
    assert!(!scene.holds(&guard), "the clock decides");
    assert_eq!(released(guard), Release::AlreadyLost);
}

/// A waiter finds the end of the lease by its own timer (M6).
#[test]
fn loom_a_lease_ends_and_the_waiter_has_the_lock() {
    run_in_time(Bounded(5), acquired, keep, &[HOLD, PASS], too_late);
}

/// The first of two waiters leaves while the lease ends: the other finds the end (M6).
#[test]
fn loom_a_lease_ends_and_the_first_waiter_goes_away() {
    run_in_time(Bounded(3), acquired, keep, &[CANCEL, HOLD, PASS], too_late);
}

/// Of two callers that try at the end of a lease, at most one holds the lock at a time (M3).
#[test]
fn loom_a_lease_ends_and_two_try() {
    run_in_time(Bounded(4), acquired, keep, &[TRY, TRY, PASS], too_late);
}

/// A release at the end of the lease, with a waiter: lost or released, and the waiter is granted the lock.
#[test]
fn loom_release_at_the_end_of_the_lease() {
    run_in_time(
        Bounded(5),
        acquired,
        |scene, guard| {
            let held = scene.holds(&guard);
            let release = released(guard);
            assert!(held || release == Release::AlreadyLost, "a lost lease came back");
        },
        &[HOLD, PASS],
        |_, ()| {},
    );
}

/// An extension at the end of the lease: it is done, and no other caller has the lock; or it is refused, and the lease
/// stays lost.
#[test]
fn loom_extend_at_the_end_of_the_lease() {
    run_in_time(
        Bounded(5),
        acquired,
        |scene, guard| {
            let extended = block_on(Box::pin(guard.extend(2 * LEASE))).unwrap();
            // No more time passes than the length of one lease.
            assert_eq!(scene.holds(&guard), extended, "extended, or lost for good");
            assert_eq!(released(guard) == Release::Released, extended);
        },
        &[HOLD, PASS],
        |_, ()| {},
    );
}

/// A lease that is shortened: the waiter, which knows a later end, is woken (M6).
#[test]
fn loom_a_shorter_lease_wakes_the_waiter() {
    run_in_time(
        Bounded(5),
        |scene| {
            let guard = scene.acquired(ending().ttl(100 * LEASE));
            scene.granted(&guard);
            guard
        },
        |scene, guard| {
            assert!(block_on(Box::pin(guard.extend(LEASE))).unwrap());
            advance(LEASE);
            keep(scene, guard)
        },
        &[HOLD],
        too_late,
    );
}

/// A wait ends while the waiter is granted the lock: the waiter has the lock, or another caller can get it (M2).
#[test]
fn loom_a_wait_is_over_at_the_release() {
    run_in_time(
        Bounded(5),
        |scene| scene.acquired(LockOptions::default()),
        |_, guard| drop(guard),
        &[
            |scene| match block_on(scene.acquire_with(ending(), Wait::AtMost(LEASE))) {
                Ok(Some(guard)) => scene.hold_while_it_lasts(guard),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            },
            PASS,
        ],
        |_, ()| {},
    );
}

/// The same, with another waiter behind that waits for ever: it is granted the lock.
#[test]
fn loom_a_wait_is_over_and_another_goes_on() {
    run_in_time(
        Bounded(3),
        |scene| scene.acquired(LockOptions::default()),
        |_, guard| drop(guard),
        &[|scene| drop(block_on(scene.acquire_with(ending(), Wait::AtMost(LEASE))).unwrap()), HOLD, PASS],
        |_, ()| {},
    );
}

/// A waiter is granted the lock and claims it late, perhaps after the grant has expired: it has the lock or waits
/// again, and the waiter behind it is granted the lock in time (M2, M6).
#[test]
fn loom_a_granted_waiter_comes_late() {
    run_in_time(
        Bounded(5),
        |scene| {
            let guard = scene.acquired(LockOptions::default());
            let mut late = scene.acquire_with(ending(), Wait::Forever);
            assert!(poll_once(&mut late).is_pending());
            (guard, late)
        },
        |scene, (guard, late)| {
            scene.let_go(guard);
            match block_on(late) {
                Ok(Some(guard)) => scene.hold_while_it_lasts(guard),
                other => panic!("a caller that waits for ever is granted the lock: {other:?}"),
            }
        },
        &[|scene| scene.hold_while_it_lasts(scene.acquire_by_the_clock(3))],
        |_, ()| {},
    );
}

/// As the one above, with a lease that renews itself once it is claimed.
#[test]
fn loom_a_granted_waiter_comes_late_for_a_renewed_lease() {
    run_in_time(
        Bounded(4),
        |scene| {
            let guard = scene.acquired(LockOptions::default());
            let mut late = scene.acquire_with(LockOptions::default().ttl(LEASE), Wait::Forever);
            assert!(poll_once(&mut late).is_pending());
            (guard, late)
        },
        |scene, (guard, late)| {
            drop(guard);
            match block_on(late) {
                Ok(Some(guard)) => {
                    scene.granted(&guard);
                    assert!(scene.holds(&guard), "a claimed lease renews itself");
                    assert_eq!(released(guard), Release::Released);
                }
                other => panic!("a caller that waits for ever is granted the lock: {other:?}"),
            }
        },
        &[HOLD, PASS],
        |_, ()| {},
    );
}

/// A waiter is granted the lock and never claims it: the waiter behind it is granted the lock without being woken (M6).
#[test]
fn loom_a_granted_waiter_never_comes() {
    run_in_time(
        Bounded(5),
        |scene| {
            let guard = scene.acquired(LockOptions::default());
            let mut never: Acquire = scene.acquire_with(ending(), Wait::Forever);
            assert!(poll_once(&mut never).is_pending());
            (guard, never)
        },
        |scene, (guard, never)| {
            scene.let_go(guard);
            never
        },
        &[|scene| scene.hold_while_it_lasts(scene.acquire_by_the_clock(3))],
        |_, never| drop(never),
    );
}

/// A loss signal wakes by its own timer when the lease ends (L4).
#[test]
fn loom_the_signal_of_a_lease_that_ends() {
    run_in_time(
        Bounded(4),
        |scene| {
            let guard = acquired(scene);
            (guard.lost(), guard)
        },
        |_, (lost, guard)| {
            block_on(lost);
            assert!(!guard.is_held(), "the signal means it");
            guard
        },
        &[|_| advance(LEASE / 2), |_| advance(LEASE / 2)],
        too_late,
    );
}

/// The loss signal, a release and the end of the lease: it resolves exactly if the lease was lost before the release.
#[test]
fn loom_the_signal_and_a_release_at_the_end_of_the_lease() {
    run_in_time(
        Bounded(4),
        |scene| {
            let guard = acquired(scene);
            (guard.lost(), guard)
        },
        |_, (mut lost, guard)| {
            let before = poll_once(&mut lost);
            let release = released(guard);
            let after = poll_once(&mut lost);
            assert!(before.is_pending() || release == Release::AlreadyLost, "signalled, and released");
            assert_eq!(after.is_ready(), release == Release::AlreadyLost);
        },
        &[PASS, HOLD],
        |_, ()| {},
    );
}

/// A close at the end of a lease, with a waiter: it gets an error, or was granted the lock before. No lock is held
/// after.
#[test]
fn loom_close_at_the_end_of_the_lease() {
    run_in_time(
        Bounded(5),
        acquired,
        |scene, guard| {
            scene.holds(&guard);
            scene.shard.close();
            assert!(!guard.is_held(), "a close ends held locks");
            guard
        },
        &[
            |scene| {
                if let Some(guard) = unless_closed(block_on(scene.acquire_with(ending(), Wait::Forever))) {
                    scene.hold_while_it_lasts(guard);
                }
            },
            PASS,
        ],
        too_late,
    );
}
