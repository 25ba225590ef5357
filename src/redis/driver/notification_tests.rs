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

/// After an outage the request was repeated, and ran on the server just before the grant. The notification overtakes its reply.
#[tokio::test(start_paused = true)]
async fn a_grant_that_overtakes_the_reply_after_an_outage_is_asked_about_at_once() {
    let stage = Stage::new();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(is_acquire);
    let token = request.command.token;
    stage.answers(request, numbers([0, 30_000, 1_000_000_000, 1_015_000]));
    tokio::time::advance(Duration::from_secs(2)).await;
    stage.driver().reconnected(crate::redis::connection::Node(0));
    let again = stage.call(is_acquire);
    stage.notifies_of_grant(token, 1_002_000_100);
    assert!(Stage::taken(&waiter).is_none(), "it is not known when the lease began");
    stage.answers(again, numbers([0, 28_000, 1_002_000_000, 1_015_000]));
    let last = stage.call(is_acquire);
    assert_eq!(last.command.token, token);
    stage.answers(last, numbers([1, 7, 1_002_000_200, 0]));
    assert!(Stage::taken(&waiter).is_some());
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
    stage.driver().reconnected(crate::redis::connection::Node(0));
    stage.notifies_of_grant(token, 1_000_100_000);
    drop(Stage::taken(&waiter).unwrap());
    let steps: Vec<_> = stage.driver().router.first().take_queued().map(|call| call.command.step).collect();
    assert_eq!(steps, [Step::Release { keep: None }], "no other call has this token");
    assert_eq!(stage.driver().len(), 0);
}

/// The request was repeated, and took so long to get to the server that the lease of the grant was over: it has joined the
/// queue there, and no caller waits for it any more.
#[tokio::test(start_paused = true)]
async fn what_was_asked_again_and_joined_the_queue_after_its_grant_is_cancelled() {
    let steps_after = |held: bool, at: i64| {
        let stage = Stage::new();
        let waiter = stage.queued_waiter(&stage.resource);
        let request = stage.call(is_acquire);
        let token = request.command.token;
        stage.answers(request, numbers([0, 30_000, 1_000_000_000, 1_015_000]));
        stage.driver().reconnected(crate::redis::connection::Node(0));
        let again = stage.call(is_acquire);
        stage.notifies_of_grant_with(token, 1_000_100_000, 1_000_100_000);
        let guard = Some(Stage::taken(&waiter).unwrap()).filter(|_| held);
        let _release = stage.driver().router.first().take_queued().count();
        stage.answers(again, numbers([3, 30_000, at, 1_030_000]));
        drop(guard);
        stage.driver().router.first().take_queued().map(|call| call.command.step).collect::<Vec<_>>()
    };
    assert_eq!(steps_after(false, 1_000_200_000), [Step::Cancel { keep: None }]);
    assert_eq!(
        steps_after(true, 1_000_200_000),
        [Step::Release { keep: None }, Step::Cancel { keep: None }],
        "once it is not held any more"
    );
    assert_eq!(steps_after(true, 1_000_050_000), [Step::Release { keep: None }], "the grant came after that word");
}
