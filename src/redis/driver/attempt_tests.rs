//! Callers that do not wait, together with callers that do.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::task::{Context, Poll};

use ::redis::Value;

use super::stage::{CallKind, Stage, TTL};
use crate::engine::{Command, Event, Step};
use crate::redis::acquire_slot::{AcquireResult, AcquireSlot};
use crate::redis::backend::Backend;
use crate::redis::connection::Call;

impl Stage {
    fn caller(&self) -> Arc<AcquireSlot<Backend>> {
        AcquireSlot::new(Self::options(), Arc::clone(&self.backend))
    }

    /// A caller tries without waiting. Returns it, and the call that asks the server.
    fn tries(&self) -> (Arc<AcquireSlot<Backend>>, Call<CallKind>) {
        let attempt = self.caller();
        self.tries_now(&attempt);
        (attempt, self.call(|kind| matches!(kind, CallKind::Attempt(..))))
    }

    /// The server grants what it was asked for.
    fn grants(&self, call: Call<CallKind>) {
        self.answers(call, Value::Array([1, 7, 1_000_000_000, 0].map(Value::Int).to_vec()));
    }
}

fn answer(waiter: &AcquireSlot<Backend>) -> Option<AcquireResult<Backend>> {
    match waiter.poll(&Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

/// The attempt came after two waiters, and the server granted it the lock before it received their request.
#[tokio::test(start_paused = true)]
async fn an_attempt_does_not_come_before_those_who_wait() {
    let stage = Stage::new();
    let (first, second) = (stage.queued_waiter(&stage.resource), stage.queued_waiter(&stage.resource));
    let (attempt, call) = stage.tries();
    let third = stage.queued_waiter(&stage.resource);
    stage.grants(call);
    assert!(matches!(answer(&first), Some(AcquireResult::Granted(_))));
    assert!(matches!(answer(&attempt), Some(AcquireResult::Busy { .. })));
    assert!(answer(&second).is_none() && answer(&third).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_comes_before_callers_that_came_later() {
    let stage = Stage::new();
    let (attempt, call) = stage.tries();
    let waiter = stage.queued_waiter(&stage.resource);
    stage.grants(call);
    assert!(matches!(answer(&attempt), Some(AcquireResult::Granted(_))));
    assert!(answer(&waiter).is_none());
}

/// The only waiter has left its slot, and is still in the wait queue.
#[tokio::test(start_paused = true)]
async fn an_attempt_is_not_refused_for_a_waiter_that_is_leaving() {
    let stage = Stage::new();
    let first = stage.queued_waiter(&stage.resource);
    let (attempt, call) = stage.tries();
    assert!(first.leave().is_none());
    stage.grants(call);
    assert!(matches!(answer(&attempt), Some(AcquireResult::Granted(_))));
}

/// A waiter that came before the attempt and has left does not keep the lock from the attempt.
#[tokio::test(start_paused = true)]
async fn a_waiter_that_came_before_an_attempt_and_left_is_passed_over() {
    let stage = Stage::new();
    let first = stage.caller();
    let ticket = stage.joins(&stage.resource, &first);
    let (attempt, call) = stage.tries();
    let later = stage.queued_waiter(&stage.resource);
    stage.driver().handle(&stage.resource, Event::Leave { ticket });
    stage.grants(call);
    assert!(matches!(answer(&attempt), Some(AcquireResult::Granted(_))), "the present waiter came after it");
    assert!(answer(&later).is_none());
}

/// The request of the callers who wait stands in the server's wait queue behind the lock of the attempt. When that is lost,
/// the request goes on with its place, and no other is sent in its stead.
#[tokio::test(start_paused = true)]
async fn the_request_behind_an_attempts_lock_outlives_it() {
    let stage = Stage::new();
    let (attempt, call) = stage.tries();
    let waiter = stage.queued_waiter(&stage.resource);
    let request = stage.call(|kind| matches!(kind, CallKind::Acquire));
    let token = request.command.token;
    stage.grants(call);
    let guard = Stage::taken(&attempt).unwrap();
    stage.answers(request, Value::Array([0, 30_000, 1_000_000_000, 1_015_000].map(Value::Int).to_vec()));
    let command = Command { resource: stage.resource.clone(), token: stage.token(), step: Step::Renew { lease: TTL } };
    stage.answers(Call::new(command, CallKind::Renew), Value::Int(0));
    assert!(!guard.is_held());
    assert_eq!(stage.driver().router.first().take_queued().count(), 0, "the server has been asked");
    stage.notifies_of_grant(token, 1_000_100_000);
    assert!(Stage::taken(&waiter).is_some());
}
