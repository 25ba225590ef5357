//! Callers who come for a lock, and go.

use std::sync::Arc;

use tokio::time::Instant;

use super::cancel::Unacknowledged;
use super::entry::{Entry, OnServerFailure, QueueEnd};
use super::handover::{arrived_too_late, grant_lease};
use super::ownership::Ownership;
use super::{AcquireSlot, CallKind, Deferred, Locks, Shard, Step, Token};
use crate::backend::WaiterLimit;
use crate::redis::acquire_slot::AcquireResult;
use crate::redis::clocks::Epoch;
use crate::redis::connection::{Reply, was_cut};
use crate::redis::protocol::{Acquired, Command, Joining, acquired};
use crate::{LockError, Resource};

/// Whether a caller who has to wait is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum WaiterAdmission {
    /// If there is room.
    New,
    /// In any case: it was let in long ago, whatever the line is like by now.
    Again,
}

/// An attempt of a caller who does not wait.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Attempt {
    /// Where the line ended when it came.
    line: QueueEnd,
    /// When the server was asked, by both clocks.
    epoch: Epoch,
    /// It was granted before, in another epoch.
    again: bool,
    /// The connection was closed before the first question was answered, and it was asked anew under another token.
    anew: bool,
}

impl Locks {
    /// A caller wants the lock, and is ready to wait. Returns its ticket.
    pub(in crate::redis) fn join(
        &self,
        resource: &Resource,
        waiter: &Arc<AcquireSlot>,
        admission: WaiterAdmission,
    ) -> Result<u64, LockError> {
        let mut shard = self.shard(resource);
        // Under the mutex: closing goes through the shards after it has been noted.
        if self.is_closed() {
            return Err(LockError::Closed);
        }
        let now = Instant::now();
        let (entry, after) = shard.find_or_insert(resource);
        // Behind nobody: an ask that is under way for a caller who has left is as good as one of its own.
        let is_first = entry.first().is_none() && !entry.is_held_here(now);
        let permit = match admission {
            // Whether it has to wait is not known before the server has answered.
            WaiterAdmission::New if is_first => None,
            WaiterAdmission::New if waiter.options().get_max_waiters().is_some_and(|most| entry.waiting() >= most) => {
                return Err(LockError::TooManyWaiters);
            }
            WaiterAdmission::New => Some(self.waiter_limit.enter().ok_or(LockError::TooManyWaitersInTotal)?),
            WaiterAdmission::Again => Some(self.waiter_limit.enter_again()),
        };
        if !entry.is_held_here(now) {
            // Whoever waits already goes on waiting while the server is out of reach. Nobody begins to.
            if let Some(error) = self.connection.trouble() {
                self.clean_up_entry(resource, &mut shard);
                return Err(error);
            }
            self.end_if_over(resource, entry, now, after);
        }
        let on_failure = if entry.first().is_some() { OnServerFailure::Retry } else { OnServerFailure::Fail };
        let ticket = entry.join(Arc::clone(waiter), permit);
        self.send_request_if_needed(resource, entry, on_failure, now, after);
        Ok(ticket)
    }

    /// A caller wants the lock at once or not at all. `false` if it is held in this process.
    pub(in crate::redis) fn try_at_once(
        &self,
        resource: &Resource,
        waiter: &Arc<AcquireSlot>,
    ) -> Result<bool, LockError> {
        let mut shard = self.shard(resource);
        if self.is_closed() {
            return Err(LockError::Closed);
        }
        let mut line = QueueEnd::default();
        if let Some((entry, after)) = shard.find(resource) {
            let now = Instant::now();
            // Our own lease is as good as the server's word. Where nobody has it, and one is asked for on behalf of those
            // who wait here, the server is asked for its own.
            if entry.is_held_here(now) {
                return Ok(false);
            }
            self.end_if_over(resource, entry, now, after);
            self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
            line = entry.end_of_line();
            self.clean_up_entry(resource, &mut shard);
        }
        // Not for the others who wait here: whether the server answers at all has to be found out.
        let token = Token::random(self.connection.inbox())?;
        let attempt = Attempt { line, epoch: self.clocks.epoch(), again: false, anew: false };
        self.push_try(resource, token, attempt, waiter);
        Ok(true)
    }

    fn push_try(&self, resource: &Resource, token: Token, attempt: Attempt, waiter: &Arc<AcquireSlot>) {
        let step = Step::Acquire { lease: waiter.options().get_ttl(), joining: Joining::No };
        self.push(resource, token, step, CallKind::Try(attempt, Arc::clone(waiter)));
    }

    /// The server has answered, or has not, to a caller who does not wait, and came when the line ended at `line`.
    ///
    /// It may have been granted the lock before somebody who waited here already: an ask for them was pushed before it,
    /// but that was granted, and held and released meanwhile, and they have asked anew since. The lock is theirs.
    pub(super) fn try_answered(&self, command: &Command, attempt: Attempt, waiter: &Arc<AcquireSlot>, outcome: Reply) {
        let Command { resource, token, .. } = command;
        let Attempt { line, epoch: asked, again, anew } = attempt;
        let ttl = waiter.options().get_ttl();
        let may_have_run = matches!(outcome, Reply::Indeterminate { .. });
        // It was granted before, if this is the second time: that is to be taken back in any case.
        let known = again.then_some(Unacknowledged::None);
        let (granted, unacknowledged) = match outcome {
            Reply::Answered { answer, sent } => (acquired(&answer).map(|answer| (answer, sent)), known),
            Reply::Refused(error) | Reply::NotSent(error) => (Err(error), known),
            Reply::Indeterminate { error } => {
                (Err(error), Some(if again { Unacknowledged::More } else { Unacknowledged::One }))
            }
        };
        match granted {
            Ok((Acquired::Granted { fence, others_wait, .. }, sent)) => {
                let epoch = self.clocks.epoch();
                if asked != epoch {
                    // As for an ask: the token is the same, so that the server says when its lease begins anew.
                    return self.push_try(resource, *token, Attempt { epoch, again: true, ..attempt }, waiter);
                }
                let mut shard = self.shard(resource);
                let now = Instant::now();
                let (entry, after) = shard.find_or_insert(resource);
                if self.is_closed() {
                    after.tell(waiter, AcquireResult::Failed(LockError::Closed.into()));
                }
                let ownership = Ownership::new(*token, fence, (sent, epoch), ttl, others_wait);
                let in_time = now < ownership.ends();
                if !self.replace_ownership(resource, entry, ownership, now, after) {
                    // Somebody of this process holds it since.
                    after.tell(waiter, AcquireResult::Busy);
                } else if !in_time {
                    // One attempt is one. The lock was free, so that it is no answer that somebody holds it.
                    self.end_ownership(resource, entry, after);
                    let error = arrived_too_late(ttl, now.saturating_duration_since(sent));
                    after.tell(waiter, AcquireResult::Failed(error.into()));
                    self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
                } else if self.grant_next_before(resource, entry, Some(line), now, after) {
                    after.tell(waiter, AcquireResult::Busy);
                } else if let Some(ownership) = &mut entry.ownership
                    && grant_lease(resource, ownership, waiter, now, after)
                {
                    self.schedule(resource, ownership, now);
                } else {
                    // Nobody was there any more.
                    self.end_ownership(resource, entry, after);
                    self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
                }
                self.clean_up_entry(resource, &mut shard);
            }
            Ok((Acquired::Unfinished, _)) => {
                let epoch = self.clocks.epoch();
                self.push_try(resource, *token, Attempt { epoch, ..attempt }, waiter);
            }
            Ok((Acquired::Queued { .. } | Acquired::Busy, _)) => Deferred::default().tell(waiter, AcquireResult::Busy),
            Err(error) => {
                if let Some(unacknowledged) = unacknowledged {
                    self.cancel(resource, *token, ttl, unacknowledged);
                }
                // Asked anew as an ask is, once, under a token of its own and behind the cancellation.
                if may_have_run
                    && !anew
                    && was_cut(&error)
                    && let Ok(token) = Token::random(self.connection.inbox())
                {
                    let attempt = Attempt { line, epoch: self.clocks.epoch(), again: false, anew: true };
                    return self.push_try(resource, token, attempt, waiter);
                }
                Deferred::default().tell(waiter, AcquireResult::Failed(error.into()));
            }
        }
    }

    /// A caller goes away, whatever it came to.
    pub(in crate::redis) fn leave(&self, resource: &Resource, ticket: u64, waiter: &Arc<AcquireSlot>) {
        let mut shard = self.shard(resource);
        if let Some(entry) = shard.get_mut(resource) {
            entry.leave(ticket, waiter);
            self.clean_up_entry(resource, &mut shard);
        }
    }

    /// Brings an entry in order after somebody left it (R3, R5).
    pub(super) fn clean_up_entry(&self, resource: &Resource, shard: &mut Shard<'_>) {
        let Some((entry, after)) = shard.find(resource) else { return };
        if entry.first().is_none() {
            if entry.ownership.as_ref().is_some_and(|ownership| ownership.holder.is_none()) {
                self.end_ownership(resource, entry, after);
            }
            // One that is under way is undone when its answer comes (R4).
            if entry.request().is_some_and(|request| request.in_flight.is_none())
                && let Some(request) = entry.take_request()
            {
                self.remove_timer(request.due);
                self.undo_ask(resource, &request);
            }
        }
        if entry.is_empty() {
            shard.remove(resource);
        }
    }
}

/// The server has said that somebody else holds the lock: from now on the first in line waits, if it may. Who was
/// admitted because nobody waited may be one who allows nobody to, or one for whom there is no room.
pub(super) fn begin_to_wait(entry: &mut Entry, waiter_limit: &Arc<WaiterLimit>, after: &mut Deferred) {
    let refusal = if entry.first().is_some_and(|first| first.options().get_max_waiters() == Some(0)) {
        LockError::TooManyWaiters
    } else if entry.permit_first(waiter_limit) {
        return;
    } else {
        LockError::TooManyWaitersInTotal
    };
    if let Some(waiter) = entry.pop() {
        after.tell(&waiter, AcquireResult::Failed(refusal.into()));
    }
}

/// Ends every wait of an entry with an error.
pub(super) fn fail_waiters(entry: &mut Entry, error: &LockError, after: &mut Deferred) {
    for waiter in entry.take_waiters() {
        after.tell(&waiter, AcquireResult::Failed(error.clone().into()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::task::{Context, Poll};
    use std::time::Duration;

    use ::redis::Value;

    use super::*;
    use crate::LockOptions;
    use crate::redis::RedisLockOptions;
    use crate::redis::backend::Backend;
    use crate::redis::connection::{Call, Caller};

    const TTL: Duration = Duration::from_secs(30);

    /// A provider whose server is played by the test: nothing is sent, since nothing serves the connection.
    struct Stage {
        backend: Arc<Backend>,
        resource: Resource,
    }

    impl Stage {
        fn new() -> Self {
            let backend = Backend::new(RedisLockOptions::default().settings().unwrap()).unwrap();
            Self { backend, resource: Resource::try_from("account-1").unwrap() }
        }

        fn locks(&self) -> &Arc<Locks> {
            self.backend.locks()
        }

        fn caller(&self) -> Arc<AcquireSlot> {
            AcquireSlot::new(LockOptions::default().ttl(TTL), Arc::clone(&self.backend))
        }

        fn waits(&self) -> Arc<AcquireSlot> {
            let waiter = self.caller();
            self.locks().join(&self.resource, &waiter, WaiterAdmission::New).unwrap();
            waiter
        }

        /// Somebody comes who does not wait; what the server is asked for it.
        fn tries(&self) -> (Arc<AcquireSlot>, Call<CallKind>) {
            let attempt = self.caller();
            assert!(self.locks().try_at_once(&self.resource, &attempt).unwrap(), "nobody here holds it");
            let call = self.locks().connection.take_pushed().find(|call| matches!(call.kind, CallKind::Try(..)));
            (attempt, call.unwrap())
        }

        /// The server grants what it was asked for.
        fn grants(&self, call: Call<CallKind>) {
            let answer = Value::Array([1, 7, 1_000_000_000, 0].map(Value::Int).to_vec());
            self.locks().answered(call, Reply::Answered { answer, sent: Instant::now() });
        }
    }

    fn answer(waiter: &AcquireSlot) -> Option<AcquireResult> {
        match waiter.poll(&Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    /// It came after them, and the server granted it the lock before their question had arrived.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_does_not_come_before_those_who_wait() {
        let stage = Stage::new();
        let (first, second) = (stage.waits(), stage.waits());
        let (attempt, call) = stage.tries();
        let third = stage.waits();
        stage.grants(call);
        assert!(matches!(answer(&first), Some(AcquireResult::Granted(_))));
        assert!(matches!(answer(&attempt), Some(AcquireResult::Busy)));
        assert!(answer(&second).is_none() && answer(&third).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_comes_before_those_who_came_later() {
        let stage = Stage::new();
        let (attempt, call) = stage.tries();
        let waiter = stage.waits();
        stage.grants(call);
        assert!(matches!(answer(&attempt), Some(AcquireResult::Granted(_))));
        assert!(answer(&waiter).is_none());
    }

    /// The last of them is leaving, and stands in the line still.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_not_refused_for_one_who_is_leaving() {
        let stage = Stage::new();
        let first = stage.waits();
        let (attempt, call) = stage.tries();
        assert!(first.leave().is_none());
        stage.grants(call);
        assert!(matches!(answer(&attempt), Some(AcquireResult::Granted(_))));
    }

    /// Nor does one that nobody waits for any more keep the lock from those who do.
    #[tokio::test(start_paused = true)]
    async fn whoever_waited_before_an_attempt_and_left_is_passed_over() {
        let stage = Stage::new();
        let first = stage.caller();
        let ticket = stage.locks().join(&stage.resource, &first, WaiterAdmission::New).unwrap();
        let (attempt, call) = stage.tries();
        let later = stage.waits();
        stage.locks().leave(&stage.resource, ticket, &first);
        stage.grants(call);
        assert!(matches!(answer(&attempt), Some(AcquireResult::Granted(_))), "who waits now came after it");
        assert!(answer(&later).is_none());
    }
}
