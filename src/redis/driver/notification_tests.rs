//! Notifications of a grant.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::stage::{CallKind, Stage, TTL};
use crate::engine::{Step, minus_clock_drift};
use crate::redis::connection::{Caller, Reply};

fn is_acquire(kind: &CallKind) -> bool {
    matches!(kind, CallKind::Acquire)
}

fn numbers(numbers: [i64; 4]) -> Value {
    Value::Array(numbers.map(Value::Int).to_vec())
}

/// The server's clock was set forward by a minute while this process was stopped. Counted from the old reply, the lease
/// would end a minute after another process was granted the lock.
#[tokio::test(start_paused = true)]
async fn a_grant_after_a_standstill_is_asked_about_and_counts_from_the_answer() {
    let stage = Stage::new();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(is_acquire);
    let token = request.command.token;
    stage.answers(request, numbers([0, 30_000, 1_000_000_000, 1_015_000]));
    tokio::time::advance(Duration::from_secs(20)).await;
    stage.notifies_of_grant(token, 1_080_000_000);
    assert!(Stage::taken(&waiter).is_none(), "it is not known when the lease began");
    let again = stage.call(is_acquire);
    assert_eq!(again.command.token, token, "the server is asked again");

    let asked = Instant::now();
    stage.driver().answered(again, Reply::Answered { answer: numbers([1, 7, 1_080_000_000, 0]), sent: asked });
    assert_eq!(Stage::taken(&waiter).unwrap().expires_at(), asked + minus_clock_drift(TTL));
}

/// The request was repeated after a reconnect, and is not sent yet when the lock is granted and released. A release is
/// sent before acquires, so the repeated request would join the server's queue without a caller.
#[tokio::test(start_paused = true)]
async fn what_was_asked_again_and_is_not_sent_does_not_follow_its_own_release() {
    let stage = Stage::new();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(is_acquire);
    let token = request.command.token;
    stage.answers(request, numbers([0, 30_000, 1_000_000_000, 1_015_000]));
    stage.driver().reconnected();
    stage.notifies_of_grant(token, 1_000_100_000);
    drop(Stage::taken(&waiter).unwrap());
    let steps: Vec<_> = stage.driver().connection.take_queued().map(|call| call.command.step).collect();
    assert_eq!(steps, [Step::Release], "no other call has this token");
    assert_eq!(stage.driver().len(), 0);
}
