//! Renewals.
#![allow(clippy::unwrap_used)]

use ::redis::Value;
use tokio::time::{Instant, timeout};

use super::stage::{CallKind, Stage, TTL};
use crate::engine::{Command, Step};
use crate::redis::connection::{Call, Caller, Reply};

/// The reply to a renewal arrives after the lease has ended by our clock. Its guard reports the loss. The server has
/// extended the key, so the lock is released, and other callers can get it while that guard lives.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_over_when_its_renewal_is_answered_is_let_go() {
    for over in [false, true] {
        let stage = Stage::new();
        let guard = stage.held(&stage.resource);
        let token = stage.token();
        tokio::time::advance(TTL / 2).await;
        let sent = Instant::now();
        tokio::time::advance(if over { TTL / 2 } else { TTL / 4 }).await;
        let command = Command { resource: stage.resource.clone(), token, step: Step::Renew { lease: TTL } };
        let renewal = Call::new(command, CallKind::Renew);
        stage.driver().answered(renewal, Reply::Answered { answer: Value::Int(1), sent });
        let owned = stage.driver().len() > 0;
        assert_eq!((owned, guard.is_held()), (!over, !over), "over: {over}");
    }
}

/// A renewal in flight and its reply move the deadline without a change of the state: the timer follows each time.
#[tokio::test(start_paused = true)]
async fn a_lock_is_renewed_whenever_a_third_of_its_lease_is_over() {
    let stage = Stage::new();
    let guard = stage.held(&stage.resource);
    for renewal in 1..=3 {
        let timers = stage.driver().timers.run(|timer, event| stage.driver().due(timer, event));
        assert!(timeout(TTL / 2, timers).await.is_err());
        let renewals: Vec<_> = stage.driver().router.first().take_queued().collect();
        assert!(matches!(renewals.as_slice(), [call] if matches!(call.kind, CallKind::Renew)), "renewal {renewal}");
        for call in renewals {
            stage.answers(call, Value::Int(1));
        }
        assert!(guard.is_held());
    }
}
