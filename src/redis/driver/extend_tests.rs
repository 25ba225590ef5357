//! Extensions: one at a time, and the lease after a refusal.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::stage::{CallKind, Stage, TTL};
use crate::LockError;
use crate::engine::{Step, minus_clock_drift};
use crate::redis::acquire_slot::AcquireSlot;
use crate::redis::connection::{Call, Caller, Reply};

fn is_extension(kind: &CallKind) -> bool {
    matches!(kind, CallKind::Extend(_))
}

fn lease_of(call: &Call<CallKind>) -> Duration {
    let Step::Reset { lease, .. } = call.command.step else { return Duration::ZERO };
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
    assert_eq!((lease_of(&call), stage.driver().router.first().take_queued().count()), (TTL / 2, 0));
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

/// An extension is in doubt, so that no lease of this ownership lasts longer than it. The next holder, which does not renew
/// its lease and wants a longer one, is granted what there is, and is not asked for again and again.
#[tokio::test(start_paused = true)]
async fn a_waiter_is_granted_a_lock_whose_extension_is_in_doubt() {
    let stage = Stage::new();
    let guard = stage.held(&stage.resource);
    {
        let mut extending = pin!(guard.extend(TTL / 6));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(extending.as_mut().poll(&mut cx).is_pending());
        let error = LockError::unavailable("no reply");
        stage.driver().answered(stage.call(is_extension), Reply::Indeterminate { error });
        assert!(matches!(extending.poll(&mut cx), Poll::Ready(Err(_))));
    }
    let waiter = AcquireSlot::new(Stage::options().auto_renew(false), Arc::clone(&stage.backend));
    stage.joins(&stage.resource, &waiter);
    drop(guard);
    stage.answers(stage.call(|kind| matches!(kind, CallKind::LocalHandover { .. })), Value::Int(1));
    assert_eq!(Stage::taken(&waiter).unwrap().remaining(), minus_clock_drift(TTL / 6));
}
