//! What other processes tell ours: that a lock is our own now, or that they wait for it.

use std::time::Duration;

use tokio::time::Instant;

use super::cancel::Unacknowledged;
use super::entry::PendingRequest;
use super::ownership::Ownership;
use super::{Locks, Token};
use crate::backend::PackedInstant;
use crate::redis::clocks::Epoch;
use crate::redis::protocol::{Grant, ServerTime};
use crate::{LockOptions, Resource};

impl Locks {
    /// The lock is ours, by a message: whoever held it has handed it on.
    pub(super) fn granted_by_message(&self, grant: &Grant) {
        let Grant { resource, token, .. } = grant;
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let (entry, after) = match shard.find(resource) {
            Some((entry, after)) if entry.has_request(*token) => (entry, after),
            // Known already from an answer that overtook the message.
            Some((entry, _)) if entry.has_ownership(*token) => return,
            // Nobody here wants it any more. CancelReply already, or to be: once more does no harm (R4).
            _ => return self.cancel(resource, *token, LockOptions::MAX_TTL, Unacknowledged::None),
        };
        let Some(request) = entry.request_of(*token) else { return };
        let epoch = self.clocks.epoch();
        if !is_recent(request, now, epoch) {
            // Its answer says it exactly; the server keeps the lock for us until then.
            return self.send_again(resource, entry, now);
        }
        // Asked again, and not sent yet: the answer is here. It must not be sent after the release, which is urgent.
        if let Some(withdrawn) = request.in_flight.and_then(|_| self.connection.withdraw(*token)) {
            after.drop_withdrawn(withdrawn);
        }
        let from = granted_since(request, grant.at, now);
        let lease = (request.ttl.get(), self.connection.settings().claim_lease());
        let ownership = Ownership::claimed(*token, grant.fence, (from, epoch), lease, grant.others_wait);
        self.granted(resource, entry, ownership, now, after);
        self.clean_up_entry(resource, &mut shard);
    }

    /// Others wait for a lock that is ours.
    pub(super) fn wanted_by_others(&self, resource: &Resource, token: Token) {
        let mut shard = self.shard(resource);
        let Some(entry) = shard.get_mut(resource) else { return };
        if let Some(ownership) = entry.ownership_of(token) {
            ownership.others_wait(Instant::now());
        } else if let Some(request) = entry.request_of(token) {
            // The message has overtaken the grant.
            request.wanted = true;
        }
    }
}

/// Whether the server's word on our place in line is so recent that a message may be counted from it. It is, unless this
/// process or its connection stood still since: then the two clocks may have parted meanwhile, and a clock that was
/// set forward would make the lease longer than it is. How long ago it was is for both of our clocks to say, since the
/// monotonic one stands still with the machine.
fn is_recent(request: &PendingRequest, now: Instant, epoch: Epoch) -> bool {
    const LONGEST: Duration = Duration::from_secs(1);
    if request.epoch != epoch {
        return false;
    }
    request.queued.is_none_or(|queued| PackedInstant::from(now).since(queued.sent) <= LONGEST)
}

/// The earliest time, by our clock, at which a lease can have begun that a message tells of.
///
/// The message may be late, so that the time of its arrival is of no use alone. The server's clock says how long
/// after our last question the grant was, and our clock when that question was sent: earlier than the server read
/// its clock. A five-hundredth is taken off for what the two clocks may differ by in between.
fn granted_since(request: &PendingRequest, at: ServerTime, arrived: Instant) -> Instant {
    let Some(queued) = request.queued else { return request.begun.instant() };
    let since = at.since(queued.at);
    (queued.sent.instant() + since - since / 500).min(arrived)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use ::redis::Value;

    use super::*;
    use crate::redis::RedisLockOptions;
    use crate::redis::acquire_slot::AcquireSlot;
    use crate::redis::backend::Backend;
    use crate::redis::connection::{Caller, Reply};
    use crate::redis::engine::CallKind;
    use crate::redis::engine::entry::{Entry, OnServerFailure, Queued};
    use crate::redis::engine::stage::Stage;
    use crate::redis::engine::{WaiterAdmission, minus_clock_drift};
    use crate::redis::protocol::{Command, Joining, Step};

    const TTL: Duration = Duration::from_secs(30);

    fn request() -> PendingRequest {
        PendingRequest {
            token: Token::parse("0123456789abcdef.0123456789abcdef0123456789abcdef").unwrap(),
            ttl: TTL.into(),
            on_failure: OnServerFailure::Fail,
            begun: Instant::now().into(),
            in_flight: None,
            epoch: Epoch::default(),
            queued: None,
            lease_left: None,
            wanted: false,
            late: false,
            due: None,
            polls: 0,
        }
    }

    /// What a process hears that stood still for longer than waiters rely on messages is asked about once more.
    #[tokio::test(start_paused = true)]
    async fn only_a_recent_word_is_counted_from() {
        let sent = Instant::now();
        let mut request = request();
        assert!(
            is_recent(&request, sent + Duration::from_secs(9), request.epoch),
            "before the first word it is counted from the question"
        );
        request.queued = Some(Queued { deadline: 0, sent: sent.into(), at: ServerTime(1) });
        assert!(is_recent(&request, sent + Duration::from_secs(1), request.epoch));
        assert!(!is_recent(&request, sent + Duration::from_millis(1_001), request.epoch));
    }

    /// The server's clock was set forward by a minute while this process stood still: counted from the old word, the
    /// lease would last until a minute after the lock is another's.
    #[tokio::test(start_paused = true)]
    async fn a_grant_after_a_standstill_is_asked_about_and_counts_from_the_answer() {
        let backend = Backend::new(RedisLockOptions::default().settings().unwrap()).unwrap();
        let locks = backend.locks();
        let resource = Resource::try_from("account-1").unwrap();
        let waiter = AcquireSlot::new(LockOptions::default().ttl(TTL), Arc::clone(&backend));
        locks.join(&resource, &waiter, WaiterAdmission::New).unwrap();
        let token = locks.shard(&resource).get(&resource).and_then(Entry::request).unwrap().token;
        let step = || Step::Acquire { lease: TTL, joining: Joining::Queue { deadline: None } };
        let command = || Command { resource: resource.clone(), token, step: step() };
        let numbers = |numbers: [i64; 4]| Value::Array(numbers.map(Value::Int).to_vec());

        let queued = numbers([0, 30_000, 1_000_000_000, 1_015_000]);
        locks.request_answered(&command(), Reply::Answered { answer: queued, sent: Instant::now() });
        tokio::time::advance(Duration::from_secs(20)).await;
        let at = ServerTime(1_000_000_000 + 80_000_000);
        locks.granted_by_message(&Grant { resource: resource.clone(), token, fence: 7, at, others_wait: false });
        {
            let shard = locks.shard(&resource);
            let entry = shard.get(&resource).unwrap();
            assert!(entry.ownership.is_none(), "nobody knows yet when the lease began");
            assert!(entry.request().is_some_and(|request| request.in_flight.is_some()), "so the server is asked");
        }

        let asked = Instant::now();
        let granted = numbers([1, 7, 1_080_000_000, 0]);
        locks.request_answered(&command(), Reply::Answered { answer: granted, sent: asked });
        let ends = locks.shard(&resource).get(&resource).and_then(|entry| entry.ownership.as_ref()).unwrap().ends();
        assert_eq!(ends, asked + minus_clock_drift(TTL));
    }

    /// A message that is an hour late grants a lease that is over.
    #[tokio::test(start_paused = true)]
    async fn a_late_message_does_not_make_a_lease_longer() {
        let sent = Instant::now();
        let mut request = request();
        request.queued = Some(Queued { deadline: 0, sent: sent.into(), at: ServerTime(1_000_000_000) });
        let grant = ServerTime(1_000_000_000 + 5_000_000);
        let in_time = granted_since(&request, grant, sent + Duration::from_secs(6));
        assert!(in_time <= sent + Duration::from_secs(5) && in_time > sent + Duration::from_millis(4_980));
        let late = granted_since(&request, grant, sent + Duration::from_secs(3_600));
        assert_eq!(late, in_time, "it counts from the grant, whenever the message came");
        let early = granted_since(&request, grant, sent + Duration::from_secs(1));
        assert_eq!(early, sent + Duration::from_secs(1), "a server's clock that ran ahead counts from the arrival");
        request.queued = None;
        assert_eq!(
            granted_since(&request, grant, sent + Duration::from_secs(1)),
            sent,
            "without an answer, from the request"
        );
    }

    /// A waiter asks again, which is not sent yet; it is granted the lock by message, and lets go at once. The release goes
    /// out before acquires do, and what was asked again would join the queue for nobody.
    #[tokio::test(start_paused = true)]
    async fn what_was_asked_again_and_is_not_sent_does_not_follow_its_own_release() {
        let stage = Stage::new();
        let waiter = stage.in_line(&stage.resource);
        let request = stage.call(|kind| matches!(kind, CallKind::PendingRequest));
        let token = request.command.token;
        let queued = [0, 30_000, 1_000_000_000, 1_015_000].map(Value::Int).to_vec();
        stage.answers(request, Value::Array(queued));
        stage.locks().reconnected();
        let resource = stage.resource.clone();
        stage.locks().granted_by_message(&Grant {
            resource,
            token,
            fence: 7,
            at: ServerTime(1_000_100_000),
            others_wait: false,
        });
        drop(Stage::taken(&waiter).unwrap());
        let steps: Vec<_> = stage.locks().connection.take_pushed().map(|call| call.command.step).collect();
        assert_eq!(steps, [Step::Release], "nothing else is under this token");
        assert_eq!(stage.locks().len(), 0);
    }
}
