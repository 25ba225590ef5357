//! Extensions: one at a time, and the lease after a refusal.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::stage::{CallKind, Stage, TTL};
use crate::LockError;
use crate::engine::{Step, minus_clock_drift};
use crate::redis::connection::{Call, Caller, Reply};

fn is_extension(kind: &CallKind) -> bool {
    matches!(kind, CallKind::Extend(_))
}

fn lease_of(call: &Call<CallKind>) -> Duration {
    let Step::Reset { lease } = call.command.step else { return Duration::ZERO };
    lease
}

fn refused() -> Reply {
    Reply::Refused(LockError::backend("refused"))
}

/// The server refuses, or was not reached: the lease is unchanged.
#[tokio::test(start_paused = true)]
async fn a_refused_shortening_changes_nothing() {
    for outcome in [refused(), Reply::NotSent(LockError::unavailable("away"))] {
        let stage = Stage::new();
        let guard = stage.held(&stage.resource);
        let ends = guard.expires_at();
        let mut extending = pin!(guard.extend(TTL / 30));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(extending.as_mut().poll(&mut cx).is_pending());
        assert!(guard.expires_at() < ends, "it may have been done");
        tokio::time::advance(TTL / 60).await;
        stage.driver().answered(stage.call(is_extension), outcome);
        assert!(matches!(extending.poll(&mut cx), Poll::Ready(Err(_))));
        assert_eq!(guard.expires_at(), ends);
        tokio::time::advance(TTL / 30).await;
        assert!(guard.is_held());
    }
}

/// Each extension is sent after the reply to the one before, and counts from then. If both are refused, the lease is
/// the one from before the first.
#[tokio::test(start_paused = true)]
async fn one_extension_is_in_flight_at_a_time() {
    let stage = Stage::new();
    let guard = stage.held(&stage.resource);
    let ends = guard.expires_at();
    let mut cx = Context::from_waker(Waker::noop());
    let (mut first, mut second, mut third) =
        (pin!(guard.extend(TTL / 2)), pin!(guard.extend(TTL / 3)), pin!(guard.extend(TTL * 2)));
    for extending in [&mut first, &mut second] {
        assert!(extending.as_mut().poll(&mut cx).is_pending());
    }
    assert!(third.as_mut().poll(&mut cx).is_pending());
    let call = stage.call(is_extension);
    assert_eq!((lease_of(&call), stage.driver().connection.take_queued().count()), (TTL / 2, 0));
    stage.driver().answered(call, refused());
    assert!(matches!(first.poll(&mut cx), Poll::Ready(Err(_))));

    let call = stage.call(is_extension);
    assert_eq!(lease_of(&call), TTL / 3);
    stage.driver().answered(call, refused());
    assert!(matches!(second.poll(&mut cx), Poll::Ready(Err(_))));
    assert_eq!(guard.expires_at(), ends);

    tokio::time::advance(TTL / 10).await;
    let sent = Instant::now();
    let call = stage.call(is_extension);
    stage.driver().answered(call, Reply::Answered { answer: Value::Int(1), sent });
    assert!(matches!(third.poll(&mut cx), Poll::Ready(Ok(true))));
    assert_eq!(guard.expires_at(), sent + minus_clock_drift(TTL * 2));
}
