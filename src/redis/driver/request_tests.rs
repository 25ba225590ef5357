//! The request that the waiting callers of this process share: there is one while they wait, and what it leaves on the
//! server is taken back when none waits any more (R3, R4).
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ::redis::Value;
use tokio::time::Instant;

use super::stage::{CallKind, Stage, TTL};
use super::work::Work;
use crate::LockError;
use crate::engine::{self, Acquired, Command, Event, Joining, Step, TtlMillis};
use crate::redis::acquire_slot::AcquireSlot;
use crate::redis::backend::Backend;
use crate::redis::connection::{Call, Caller, Reply};

const FIRST_ACQUIRE: Step = Step::Acquire { lease: TTL, joining: Joining::Queue { deadline: None }, whole: false };

fn is_acquire(kind: &CallKind) -> bool {
    matches!(kind, CallKind::Acquire)
}

fn answered(numbers: [i64; 4]) -> Reply {
    Reply::Answered { answer: Value::Array(numbers.map(Value::Int).to_vec()), sent: Instant::now() }
}

impl Stage {
    fn queued_steps(&self) -> Vec<Step> {
        self.driver().router.first().take_queued().map(|call| call.command.step).collect()
    }

    /// A caller joins, and its acquire is in flight.
    fn requests(&self) -> (Arc<AcquireSlot<Backend>>, u64, Call<CallKind>) {
        let waiter = AcquireSlot::new(Self::options(), Arc::clone(&self.backend));
        let ticket = self.joins(&self.resource, &waiter);
        (waiter, ticket, self.call(is_acquire))
    }
}

/// The server says that the lock is no longer ours: the callers who waited for its holder wait for another process now.
#[tokio::test(start_paused = true)]
async fn callers_behind_a_holder_that_lost_its_lock_have_a_request() {
    let stage = Stage::new();
    let guard = stage.held(&stage.resource);
    let _next = stage.queued_waiter(&stage.resource);
    assert_eq!(stage.queued_steps(), [], "it waits for the holder");
    let command = Command { resource: stage.resource.clone(), token: stage.token(), step: Step::Renew { lease: TTL } };
    stage.answers(Call::new(command, CallKind::Renew), Value::Int(0));
    assert!(!guard.is_held());
    assert_eq!(stage.queued_steps(), [FIRST_ACQUIRE]);
}

/// Sent before, the cancellation could run first, and the acquire would then take the lock for no caller.
#[tokio::test(start_paused = true)]
async fn an_acquire_in_flight_is_taken_back_once_its_outcome_is_known() {
    let leave = Step::Leave { lease: TtlMillis::from(TTL), whole: false, deadline: 1_015_000, polls: false };
    let outcomes = [
        (answered([0, 30_000, 1_000_000_000, 1_015_000]), leave),
        (answered([1, 7, 1_000_000_000, 0]), Step::Release { keep: None }),
        (Reply::Indeterminate { error: LockError::unavailable("silent") }, Step::Cancel { keep: None }),
    ];
    for (reply, taken_back) in outcomes {
        let stage = Stage::new();
        let (waiter, ticket, acquire) = stage.requests();
        assert!(waiter.leave().is_none());
        stage.driver().handle(&stage.resource, Event::Leave { ticket });
        assert_eq!(stage.queued_steps(), [], "the acquire may not have run yet");
        stage.driver().answered(acquire, reply);
        assert_eq!(stage.queued_steps(), [taken_back]);
    }
}

/// The caller goes away when the lock has been granted to it, and before it is answered: the next caller has the lock, and
/// without one the server.
#[tokio::test(start_paused = true)]
async fn a_lease_whose_caller_has_just_gone_is_released() {
    for with_next in [true, false] {
        let stage = Stage::new();
        let (waiter, _, acquire) = stage.requests();
        let next = with_next.then(|| stage.queued_waiter(&stage.resource));
        let Command { token, step, .. } = acquire.command;
        let result = Acquired::Granted { fence: 7, others_wait: false, permit: None };
        let reply = engine::Reply::Done { result, sent: Instant::now() };
        let mut work = Work::default();
        let event = Event::AcquireReply { token, step, reply };
        stage.driver().table.handle(stage.driver(), &stage.resource, event, &mut work);
        assert!(waiter.leave().is_none(), "it has no answer yet");
        stage.driver().perform(work);
        match next {
            Some(next) => assert!(Stage::taken(&next).is_some()),
            None => assert_eq!(stage.queued_steps(), [Step::Release { keep: None }]),
        }
    }
}

/// Nothing else would send what an event has queued before the next event does.
#[tokio::test(start_paused = true)]
async fn what_an_event_has_queued_is_flushed() {
    let stage = Stage::new();
    let (_waiter, _, acquire) = stage.requests();
    assert!(stage.driver().router.first().was_woken());
    stage.driver().answered(acquire, answered([0, 30_000, 1_000_000_000, 1_015_000]));
    assert!(!stage.driver().router.first().was_woken(), "nothing was queued");
    stage.driver().reconnected(crate::redis::connection::Node(0));
    assert!(stage.driver().router.first().was_woken());
}
