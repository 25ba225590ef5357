//! The machine is suspended: its monotonic clock stands still, and the server's clock does not. After that, no lease
//! may count from a command that was sent before.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::redis::Value;

use super::stage::{CallKind, Stage, TTL};
use crate::engine::{Step, minus_clock_drift};
use crate::redis::acquire_slot::{AcquireResult, AcquireSlot};
use crate::redis::backend::Backend;
use crate::redis::connection::Caller as _;

const MINUTE: Duration = Duration::from_secs(60);

fn is_request(kind: &CallKind) -> bool {
    matches!(kind, CallKind::Acquire)
}

fn numbers(numbers: [i64; 4]) -> Value {
    Value::Array(numbers.map(Value::Int).to_vec())
}

/// Another process holds the lock.
fn queued() -> Value {
    numbers([0, 30_000, 1_000_000_000, 1_015_000])
}

fn granted() -> Value {
    numbers([1, 7, 1_000_000_000, 0])
}

/// The lease counts from now, and has its whole length.
fn is_a_whole_lease(stage: &Stage, waiter: &AcquireSlot<Backend>) {
    is_a_lease_of(TTL, stage, waiter);
}

fn is_a_lease_of(length: Duration, stage: &Stage, waiter: &AcquireSlot<Backend>) {
    let guard = Stage::taken(waiter).unwrap();
    assert_eq!(guard.remaining(), minus_clock_drift(length));
    drop(guard);
    assert_eq!(stage.call(|kind| matches!(kind, CallKind::Release(_))).command.step, Step::Release { keep: None });
}

/// The lock was handed over to a waiter, and its lease ended during the suspend.
#[tokio::test(start_paused = true)]
async fn a_message_from_before_a_suspend_is_asked_about() {
    let stage = Stage::new();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(is_request);
    let token = request.command.token;
    stage.answers(request, queued());
    stage.driver().clocks.suspend(MINUTE);
    stage.notifies_of_grant(token, 1_000_100_000);
    assert!(Stage::taken(&waiter).is_none(), "it may be another's by now");
    let again = stage.call(is_request);
    assert_eq!(again.command.token, token);
    stage.answers(again, queued());
    assert!(Stage::taken(&waiter).is_none(), "and it is");
    // The next notification counts from the new reply.
    stage.notifies_of_grant(token, 1_000_100_000);
    is_a_lease_of(stage.driver().router.first().settings().claim_lease(), &stage, &waiter);
}

/// The same, and the server has been asked again since, but has not replied: its last word is still from before.
#[tokio::test(start_paused = true)]
async fn a_message_from_before_a_suspend_is_not_counted_from_a_question_after_it() {
    let stage = Stage::new();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(is_request);
    let token = request.command.token;
    stage.answers(request, queued());
    stage.driver().clocks.suspend(MINUTE);
    stage.driver().reconnected(crate::redis::connection::Node(0));
    let again = stage.call(is_request);
    stage.notifies_of_grant(token, 1_000_100_000);
    assert!(Stage::taken(&waiter).is_none(), "it may be another's by now");
    stage.answers(again, granted());
    is_a_whole_lease(&stage, &waiter);
}

/// The reply with the grant was in flight during the suspend.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_on_its_way_during_a_suspend_is_asked_for_again() {
    let stage = Stage::new();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(is_request);
    stage.driver().clocks.suspend(MINUTE);
    stage.answers(request, granted());
    assert!(Stage::taken(&waiter).is_none(), "it may be another's by now");
    stage.answers(stage.call(is_request), granted());
    is_a_whole_lease(&stage, &waiter);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_on_its_way_during_a_suspend_is_made_again() {
    let stage = Stage::new();
    let is_try = |kind: &CallKind| matches!(kind, CallKind::Attempt(..));
    let begin = || {
        let waiter = AcquireSlot::new(Stage::options(), Arc::clone(&stage.backend));
        stage.tries_now(&waiter);
        let call = stage.call(is_try);
        stage.driver().clocks.suspend(MINUTE);
        let token = call.command.token;
        stage.answers(call, granted());
        let again = stage.call(is_try);
        assert_eq!(again.command.token, token);
        (waiter, again)
    };
    let (waiter, again) = begin();
    stage.answers(again, granted());
    is_a_whole_lease(&stage, &waiter);

    // Another process holds the lock meanwhile.
    let (waiter, again) = begin();
    stage.answers(again, numbers([2, 0, 1_000_000_000, 0]));
    assert!(matches!(waiter.poll(&Context::from_waker(Waker::noop())), Poll::Ready(AcquireResult::Busy { .. })));
}

/// A holder releases the lock after a suspend. The lock may have been lost, so the next caller of this process is
/// granted it only once the server has confirmed the ownership.
#[tokio::test(start_paused = true)]
async fn a_lease_from_before_a_suspend_is_not_passed_on_unasked() {
    let is_handover = |kind: &CallKind| matches!(kind, CallKind::LocalHandover { .. });
    for still_ours in [true, false] {
        let stage = Stage::new();
        let guard = stage.held(&stage.resource);
        let next = stage.queued_waiter(&stage.resource);
        stage.driver().clocks.suspend(MINUTE);
        drop(guard);
        assert!(Stage::taken(&next).is_none(), "it may be another's by now");
        stage.answers(stage.call(is_handover), Value::Int(still_ours.into()));
        if still_ours {
            is_a_whole_lease(&stage, &next);
        } else {
            assert!(Stage::taken(&next).is_none(), "it is another's");
            stage.answers(stage.call(is_request), queued());
        }
    }
}

/// The wall clock is set, forward or back. That looks like a suspend: it costs one command, and no lock is lost.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_costs_one_question() {
    let stage = Stage::new();
    let guard = stage.held(&stage.resource);
    stage.driver().clocks.suspend(MINUTE);
    assert!(guard.is_held(), "the lock is not lost");
    let next = stage.queued_waiter(&stage.resource);
    let one_more = stage.queued_waiter(&stage.resource);
    drop(guard);
    stage.answers(stage.call(|kind| matches!(kind, CallKind::LocalHandover { .. })), Value::Int(1));
    let guard = Stage::taken(&next).unwrap();
    drop(guard);
    assert!(Stage::taken(&one_more).is_some(), "the next hand-over needs no command");
}
