//! Models of readers, writers and permits of one name. The bounds keep each to seconds.

use std::task::Poll;

use super::scene::{
    LEASE, Scene, block_on, ending, poll_once, run, run_in_time, run_to, run_with, run_with_to, unless_closed,
};
use crate::sync::modelled::Depth::Bounded;
use crate::sync::modelled::advance;
use crate::sync::now;
use crate::types::Wait;
use crate::{LockGuard, LockMode, LockOptions};

fn reading() -> LockOptions {
    LockOptions::default().mode(LockMode::Shared)
}

fn permit(n: u32) -> LockOptions {
    LockOptions::default().mode(LockMode::permits(n))
}

fn acquired_by_waiting(scene: &Scene, options: LockOptions) -> LockGuard {
    match block_on(scene.acquire_with(options, Wait::Forever)) {
        Ok(Some(guard)) => guard,
        other => panic!("a caller that waits for ever is granted the lock: {other:?}"),
    }
}

/// Polls once, and drops the acquire, or its guard.
fn cancel(scene: &Scene, options: LockOptions) {
    drop(poll_once(&mut scene.acquire_with(options, Wait::Forever)));
}

const WRITE: fn(&Scene) = Scene::acquire_and_hold;
const CANCEL_WRITE: fn(&Scene) = |scene| scene.acquire_and_cancel(1);
const READ: fn(&Scene) = |scene| scene.read(acquired_by_waiting(scene, reading()));
const CANCEL_READ: fn(&Scene) = |scene| cancel(scene, reading());
const TRY_READ: fn(&Scene) = |scene| {
    if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut scene.acquire_with(reading(), Wait::No)) {
        scene.read(guard);
    }
};
const ONE_OF_TWO: fn(&Scene) = |scene| scene.use_permit(acquired_by_waiting(scene, permit(2)));
const CANCEL_ONE_OF_TWO: fn(&Scene) = |scene| cancel(scene, permit(2));

fn reader(scene: &Scene) -> LockGuard {
    scene.acquired(reading())
}

fn let_go(scene: &Scene, guard: LockGuard) {
    scene.read(guard);
}

fn nothing(_: &Scene, (): ()) {}

#[test]
fn loom_readers_and_a_writer() {
    run_to(Bounded(3), &[READ, WRITE, READ]);
}

#[test]
fn loom_a_reader_tries_beside_a_writer() {
    run(&[TRY_READ, WRITE]);
}

/// A reader leaves beside a writer and another reader, of which one is cancelled: the other is granted the lock.
#[test]
fn loom_a_reader_leaves_and_the_writer_is_cancelled() {
    run_with_to(Bounded(3), reader, let_go, &[CANCEL_WRITE, READ], nothing);
}

#[test]
fn loom_a_reader_leaves_and_another_is_cancelled() {
    run_with(reader, let_go, &[CANCEL_READ, WRITE], nothing);
}

/// The last two readers leave at once, with a writer behind them.
#[test]
fn loom_two_readers_leave_at_once() {
    run_with_to(Bounded(3), reader, let_go, &[READ, WRITE], nothing);
}

/// Two permits come back at once, with more callers than permits.
#[test]
fn loom_two_of_three_have_permits() {
    run_to(Bounded(3), &[ONE_OF_TWO, ONE_OF_TWO, ONE_OF_TWO]);
}

#[test]
fn loom_a_caller_for_a_permit_is_cancelled() {
    run_with_to(
        Bounded(3),
        |scene| [scene.acquired(permit(2)), scene.acquired(permit(2))],
        |scene, guards| guards.into_iter().for_each(|guard| scene.use_permit(guard)),
        &[CANCEL_ONE_OF_TWO, ONE_OF_TWO],
        nothing,
    );
}

/// A close beside readers: each loses its lock, or gets an error.
#[test]
fn loom_readers_and_a_close() {
    run_with(
        reader,
        |scene, guard| {
            let other = unless_closed(block_on(scene.acquire_with(reading(), Wait::Forever)));
            (guard, other)
        },
        &[|scene| scene.shard.close()],
        |_, (guard, other)| assert!(!guard.is_held() && !other.is_some_and(|other| other.is_held())),
    );
}

/// The lease of one of two readers ends, and the other is released: the writer finds the end by its own timer (M6).
#[test]
fn loom_a_reader_leaves_and_another_ends() {
    run_in_time(
        Bounded(3),
        |scene| (scene.acquired(ending().mode(LockMode::Shared)), scene.acquired(reading())),
        |_, (ends, other)| {
            drop(other);
            ends
        },
        &[
            |scene| {
                let guard = acquired_by_waiting(scene, ending());
                scene.granted(&guard);
            },
            |_| advance(LEASE),
        ],
        |_, ends| assert!(!ends.is_held(), "the clock decides"),
    );
}

/// A lock that is kept after its release: the waiter finds the end by its own timer, and not before (M6). Another one in
/// front of it is cancelled.
#[test]
fn loom_a_kept_lock_and_a_waiter() {
    run_in_time(
        Bounded(3),
        |scene| (now(), scene.acquired(LockOptions::default().at_least(LEASE))),
        |scene, (granted, guard)| {
            drop(guard);
            let next = acquired_by_waiting(scene, LockOptions::default());
            assert!(now() >= granted + LEASE, "it was granted before its least time was over");
            drop(next);
        },
        &[CANCEL_WRITE, |_| {
            advance(LEASE / 2);
            advance(LEASE / 2);
        }],
        nothing,
    );
}
