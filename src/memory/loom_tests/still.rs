//! Models in which no time passes: acquire, release, cancel and close. Every interleaving is explored, except in three
//! models of three waiters, which would take minutes and state a bound.

use std::task::Poll;

use super::scene::{Scene, block_on, poll_once, run, run_to, run_with, unless_closed};
use crate::backend::Release;
use crate::sync::modelled::Depth::Bounded;
use crate::types::Wait;
use crate::{LockError, LockGuard, LockOptions};

const HOLD: fn(&Scene) = Scene::acquire_and_hold;
const TRY: fn(&Scene) = |scene| {
    if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut scene.acquire(Wait::No)) {
        scene.hold(guard);
    }
};
const CANCEL_UNPOLLED: fn(&Scene) = |scene| scene.acquire_and_cancel(0);
const CANCEL: fn(&Scene) = |scene| scene.acquire_and_cancel(1);
const CANCEL_LATER: fn(&Scene) = |scene| scene.acquire_and_cancel(2);
/// Waits only if no other caller does.
const HOLD_IF_FIRST: fn(&Scene) = |scene| {
    let options = LockOptions::default().max_waiters(Some(1));
    match block_on(scene.acquire_with(options, Wait::Forever)) {
        Ok(Some(guard)) => scene.hold(guard),
        Err(LockError::TooManyWaiters) => {}
        other => panic!("granted, or one too many: {other:?}"),
    }
};
const HOLD_UNLESS_CLOSED: fn(&Scene) = |scene| {
    if let Some(guard) = unless_closed(block_on(scene.acquire(Wait::Forever))) {
        drop(guard);
    }
};
const CANCEL_UNLESS_CLOSED: fn(&Scene) = |scene| {
    let mut acquire = scene.acquire(Wait::Forever);
    if let Poll::Ready(answer) = poll_once(&mut acquire) {
        drop(unless_closed(answer));
    }
};
const CLOSE: fn(&Scene) = |scene| {
    scene.shard.close();
    assert_eq!(scene.shard.len(), 0, "an entry came after closing (M7)");
};

fn acquired(scene: &Scene) -> LockGuard {
    scene.acquired(LockOptions::default())
}

fn nothing(_: &Scene, (): ()) {}

fn let_go(scene: &Scene, guard: LockGuard) {
    scene.hold(guard);
}

#[test]
fn loom_two_hold() {
    run(&[HOLD, HOLD]);
}

#[test]
fn loom_hold_and_try() {
    run(&[HOLD, TRY]);
}

#[test]
fn loom_hold_and_cancel_unpolled() {
    run(&[HOLD, CANCEL_UNPOLLED]);
}

#[test]
fn loom_hold_and_cancel() {
    run(&[HOLD, CANCEL]);
}

#[test]
fn loom_hold_and_cancel_later() {
    run(&[HOLD, CANCEL_LATER]);
}

#[test]
fn loom_two_cancel() {
    run(&[CANCEL, CANCEL_LATER]);
}

#[test]
fn loom_three_hold() {
    run_to(Bounded(5), &[HOLD, HOLD, HOLD]);
}

#[test]
fn loom_two_hold_and_one_cancels() {
    run(&[HOLD, CANCEL, HOLD]);
}

#[test]
fn loom_one_holds_and_two_cancel() {
    run_to(Bounded(5), &[CANCEL, CANCEL_LATER, HOLD]);
}

#[test]
fn loom_two_hold_and_one_tries() {
    run(&[HOLD, TRY, HOLD]);
}

#[test]
fn loom_as_many_wait_as_may() {
    run_to(Bounded(5), &[HOLD_IF_FIRST, HOLD_IF_FIRST, HOLD]);
}

/// A release and two newcomers, of which one is cancelled: the other is granted the lock.
#[test]
fn loom_release_acquire_and_cancel() {
    run_with(acquired, let_go, &[HOLD, CANCEL], nothing);
}

#[test]
fn loom_release_and_two_cancel() {
    run_with(acquired, let_go, &[CANCEL_LATER, CANCEL], nothing);
}

/// A release, an acquire and a close: a waiter gets an error, a holder loses its lock, and the release reports which
/// came first.
#[test]
fn loom_release_acquire_and_close() {
    run_with(
        acquired,
        |_, guard| {
            let release = block_on(Box::pin(guard.release())).unwrap();
            assert!(matches!(release, Release::Released | Release::AlreadyLost));
        },
        &[HOLD_UNLESS_CLOSED, CLOSE],
        nothing,
    );
}

#[test]
fn loom_acquire_cancel_and_close() {
    run(&[HOLD_UNLESS_CLOSED, CANCEL_UNLESS_CLOSED, CLOSE]);
}

/// A waiter gets an error; a holder loses its lock. After the close there are no entries (M7).
#[test]
fn loom_hold_and_close() {
    run_with(
        |_| (),
        |scene, ()| {
            let holder = poll_once(&mut scene.acquire(Wait::No));
            if matches!(holder, Poll::Ready(Ok(Some(_)))) {
                // Either closed while it waits, or closed before it came.
                assert!(matches!(block_on(scene.acquire(Wait::Forever)), Err(LockError::Closed)));
            }
            holder
        },
        &[CLOSE],
        |_, holder| {
            if let Poll::Ready(Ok(Some(guard))) = holder {
                assert!(!guard.is_held(), "a close ends held locks");
            }
        },
    );
}

/// A close wakes the watcher of a lease that has no end of its own (L4).
#[test]
fn loom_close_and_the_signal() {
    run_with(acquired, |_, guard| block_on(guard.lost()), &[CLOSE], nothing);
}

/// The loss signal never resolves after the guard's own release, with any other thread beside it.
#[test]
fn loom_release_and_the_signal() {
    run_with(
        |scene| {
            let guard = acquired(scene);
            (guard.lost(), guard)
        },
        |scene, (mut lost, guard)| {
            scene.hold(guard);
            assert!(poll_once(&mut lost).is_pending(), "a release is no loss");
        },
        &[HOLD, CANCEL],
        nothing,
    );
}

/// A handle never reports the lock as held once another caller was granted it, also if the shared lease was made for
/// the handle (M3, M8).
#[test]
fn loom_a_shared_lease_and_the_next() {
    run_with(
        |scene| {
            let guard = acquired(scene);
            scene.granted(&guard);
            (guard.handle(), guard)
        },
        |scene, (handle, guard)| {
            drop(guard);
            assert!(!handle.is_held(), "it was released");
            scene.acquire_and_hold();
        },
        &[|scene| scene.acquire_and_hold()],
        nothing,
    );
}

/// A lease that is shared during the close: the shared lease is lost, at every step at which it can be made (M8).
#[test]
fn loom_share_and_close() {
    run_with(
        acquired,
        |_, guard| {
            let before = guard.is_held();
            let handle = guard.handle();
            assert!(before || !handle.is_held(), "a lost lease came back");
            (guard, handle)
        },
        &[CLOSE],
        |_, (guard, handle)| {
            assert!(!guard.is_held() && !handle.is_held(), "a close ends held locks");
            assert!(poll_once(&mut handle.lost()).is_ready() && poll_once(&mut guard.lost()).is_ready());
            assert_eq!(block_on(Box::pin(guard.release())).unwrap(), Release::AlreadyLost);
        },
    );
}
