//! Callers who come for a lock, and go.

use std::sync::Arc;

use tokio::time::Instant;

use super::entry::{EndOfLine, Entry, Patience};
use super::holding::{arrived_too_late, lend};
use super::tenure::Tenure;
use super::undoing::Doubt;
use super::{Deferred, Locks, Purpose, Shard, Step, Token, Waiter};
use crate::mutant::{Mutant, is};
use crate::provider::WaitingRoom;
use crate::redis::clocks::Epoch;
use crate::redis::link::{Outcome, was_cut};
use crate::redis::script::{Acquired, Command, Joining, acquired};
use crate::redis::waiter::Answer;
use crate::{LockError, Resource};

/// Whether a caller who has to wait is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Admission {
    /// If there is room.
    New,
    /// In any case: it was let in long ago, whatever the line is like by now.
    Again,
}

/// An attempt of a caller who does not wait.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Attempt {
    /// Where the line ended when it came.
    line: EndOfLine,
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
        waiter: &Arc<Waiter>,
        admission: Admission,
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
        let seat = match admission {
            // Whether it has to wait is not known before the server has answered.
            Admission::New if is_first => None,
            Admission::New if waiter.options().get_max_waiters().is_some_and(|most| entry.waiting() >= most) => {
                return Err(LockError::TooManyWaiters);
            }
            Admission::New => Some(self.room.enter().ok_or(LockError::TooManyWaitersInTotal)?),
            Admission::Again => Some(self.room.enter_again()),
        };
        if !entry.is_held_here(now) {
            // Whoever waits already goes on waiting while the server is out of reach. Nobody begins to.
            if let Some(error) = self.link.trouble() {
                self.settle(resource, &mut shard);
                return Err(error);
            }
            self.end_if_over(resource, entry, now, after);
        }
        let patience = if entry.first().is_some() { Patience::Waiting } else { Patience::New };
        let ticket = entry.join(Arc::clone(waiter), seat);
        self.ask_if_needed(resource, entry, patience, now, after);
        Ok(ticket)
    }

    /// A caller wants the lock at once or not at all. `false` if it is held in this process.
    pub(in crate::redis) fn try_at_once(&self, resource: &Resource, waiter: &Arc<Waiter>) -> Result<bool, LockError> {
        let mut shard = self.shard(resource);
        if self.is_closed() {
            return Err(LockError::Closed);
        }
        let mut line = EndOfLine::default();
        if let Some((entry, after)) = shard.find(resource) {
            let now = Instant::now();
            // Our own lease is as good as the server's word. Where nobody has it, and one is asked for on behalf of those
            // who wait here, the server is asked for its own.
            if entry.is_held_here(now) {
                return Ok(false);
            }
            self.end_if_over(resource, entry, now, after);
            self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
            line = entry.end_of_line();
            self.settle(resource, &mut shard);
        }
        // Not for the others who wait here: whether the server answers at all has to be found out.
        let token = Token::random(self.link.inbox())?;
        let attempt = Attempt { line, epoch: self.clocks.epoch(), again: false, anew: false };
        self.push_try(resource, token, attempt, waiter);
        Ok(true)
    }

    fn push_try(&self, resource: &Resource, token: Token, attempt: Attempt, waiter: &Arc<Waiter>) {
        let step = Step::Acquire { lease: waiter.options().get_ttl(), joining: Joining::No };
        self.push(resource, token, step, Purpose::Try(attempt, Arc::clone(waiter)));
    }

    /// The server has answered, or has not, to a caller who does not wait, and came when the line ended at `line`.
    ///
    /// It may have been granted the lock before somebody who waited here already: an ask for them was pushed before it,
    /// but that was granted, and held and released meanwhile, and they have asked anew since. The lock is theirs.
    pub(super) fn try_answered(&self, command: &Command, attempt: Attempt, waiter: &Arc<Waiter>, outcome: Outcome) {
        let Command { resource, token, .. } = command;
        let Attempt { line, epoch: asked, again, anew } = attempt;
        let ttl = waiter.options().get_ttl();
        let may_have_run = matches!(outcome, Outcome::Unknown { .. });
        // It was granted before, if this is the second time: that is to be taken back in any case.
        let known = again.then_some(Doubt::None);
        let (granted, doubt) = match outcome {
            Outcome::Answered { answer, sent } => (acquired(&answer).map(|answer| (answer, sent)), known),
            Outcome::Refused(error) | Outcome::NotSent(error) => (Err(error), known),
            Outcome::Unknown { error } => (Err(error), Some(if again { Doubt::More } else { Doubt::One })),
        };
        match granted {
            Ok((Acquired::Granted { fence, others_wait, .. }, sent)) => {
                let epoch = self.clocks.epoch();
                if asked != epoch && !is(Mutant::SuspendIsNotNoticed) {
                    // As for an ask: the token is the same, so that the server says when its lease begins anew.
                    return self.push_try(resource, *token, Attempt { epoch, again: true, ..attempt }, waiter);
                }
                let mut shard = self.shard(resource);
                let now = Instant::now();
                let (entry, after) = shard.find_or_insert(resource);
                if self.is_closed() {
                    after.tell(waiter, Answer::Failed(LockError::Closed.into()));
                }
                let tenure = Tenure::new(*token, fence, (sent, epoch), ttl, others_wait);
                let in_time = now < tenure.ends();
                if !self.replace_tenure(resource, entry, tenure, now, after) {
                    // Somebody of this process holds it since.
                    after.tell(waiter, Answer::Busy);
                } else if !in_time {
                    // One attempt is one. The lock was free, so that it is no answer that somebody holds it.
                    self.end_tenure(resource, entry, after);
                    let error = arrived_too_late(ttl, now.saturating_duration_since(sent));
                    after.tell(waiter, Answer::Failed(error.into()));
                    self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
                } else if !is(Mutant::AttemptOvertakesWaiters)
                    && self.serve_one(resource, entry, Some(line), now, after)
                {
                    after.tell(waiter, Answer::Busy);
                } else if let Some(tenure) = &mut entry.tenure
                    && lend(resource, tenure, waiter, now, after)
                {
                    self.schedule(resource, tenure, now);
                } else {
                    // Nobody was there any more.
                    self.end_tenure(resource, entry, after);
                    self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
                }
                self.settle(resource, &mut shard);
            }
            Ok((Acquired::Unfinished, _)) => {
                let epoch = self.clocks.epoch();
                self.push_try(resource, *token, Attempt { epoch, ..attempt }, waiter);
            }
            Ok((Acquired::Queued { .. } | Acquired::Busy, _)) => Deferred::default().tell(waiter, Answer::Busy),
            Err(error) => {
                if let Some(doubt) = doubt.filter(|_| !is(Mutant::LostAnswerIsNotUndone)) {
                    self.undo(resource, *token, ttl, doubt);
                }
                // Asked anew as an ask is, once, under a token of its own and behind the cancellation.
                if may_have_run
                    && !anew
                    && was_cut(&error)
                    && let Ok(token) = Token::random(self.link.inbox())
                {
                    let attempt = Attempt { line, epoch: self.clocks.epoch(), again: false, anew: true };
                    return self.push_try(resource, token, attempt, waiter);
                }
                let answer = if is(Mutant::ErrorIsBusy) { Answer::Busy } else { Answer::Failed(error.into()) };
                Deferred::default().tell(waiter, answer);
            }
        }
    }

    /// A caller goes away, whatever it came to.
    pub(in crate::redis) fn leave(&self, resource: &Resource, ticket: u64, waiter: &Arc<Waiter>) {
        let mut shard = self.shard(resource);
        if let Some(entry) = shard.get_mut(resource) {
            entry.leave(ticket, waiter);
            self.settle(resource, &mut shard);
        }
    }

    /// Brings an entry in order after somebody left it (R3, R5).
    pub(super) fn settle(&self, resource: &Resource, shard: &mut Shard<'_>) {
        let Some((entry, after)) = shard.find(resource) else { return };
        if entry.first().is_none() {
            if entry.tenure.as_ref().is_some_and(|tenure| tenure.holder.is_none()) {
                self.end_tenure(resource, entry, after);
            }
            // One that is under way is undone when its answer comes (R4).
            if entry.ask().is_some_and(|ask| ask.in_flight.is_none())
                && let Some(ask) = entry.take_ask()
            {
                self.forget_due(ask.due);
                if !is(Mutant::CancelledAskStaysQueued) {
                    self.undo_ask(resource, &ask);
                }
            }
        }
        if entry.is_empty() {
            shard.remove(resource);
        }
    }
}

/// The server has said that somebody else holds the lock: from now on the first in line waits, if it may. Who was
/// admitted because nobody waited may be one who allows nobody to, or one for whom there is no room.
pub(super) fn begin_to_wait(entry: &mut Entry, room: &Arc<WaitingRoom>, after: &mut Deferred) {
    let refusal = if entry.first().is_some_and(|first| first.options().get_max_waiters() == Some(0)) {
        LockError::TooManyWaiters
    } else if entry.seat_first(room) {
        return;
    } else {
        LockError::TooManyWaitersInTotal
    };
    if let Some(waiter) = entry.pop() {
        after.tell(&waiter, Answer::Failed(refusal.into()));
    }
}

/// Ends every wait of an entry with an error.
pub(super) fn fail_waiters(entry: &mut Entry, error: &LockError, after: &mut Deferred) {
    for waiter in entry.take_waiters() {
        after.tell(&waiter, Answer::Failed(error.clone().into()));
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
    use crate::redis::link::{Call, Caller};

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

        fn caller(&self) -> Arc<Waiter> {
            Waiter::new(LockOptions::default().ttl(TTL), Arc::clone(&self.backend))
        }

        fn waits(&self) -> Arc<Waiter> {
            let waiter = self.caller();
            self.locks().join(&self.resource, &waiter, Admission::New).unwrap();
            waiter
        }

        /// Somebody comes who does not wait; what the server is asked for it.
        fn tries(&self) -> (Arc<Waiter>, Call<Purpose>) {
            let attempt = self.caller();
            assert!(self.locks().try_at_once(&self.resource, &attempt).unwrap(), "nobody here holds it");
            let call = self.locks().link.take_pushed().find(|call| matches!(call.purpose, Purpose::Try(..)));
            (attempt, call.unwrap())
        }

        /// The server grants what it was asked for.
        fn grants(&self, call: Call<Purpose>) {
            let answer = Value::Array([1, 7, 1_000_000_000, 0].map(Value::Int).to_vec());
            self.locks().answered(call, Outcome::Answered { answer, sent: Instant::now() });
        }
    }

    fn answer(waiter: &Waiter) -> Option<Answer> {
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
        assert!(matches!(answer(&first), Some(Answer::Granted(_))));
        assert!(matches!(answer(&attempt), Some(Answer::Busy)));
        assert!(answer(&second).is_none() && answer(&third).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_comes_before_those_who_came_later() {
        let stage = Stage::new();
        let (attempt, call) = stage.tries();
        let waiter = stage.waits();
        stage.grants(call);
        assert!(matches!(answer(&attempt), Some(Answer::Granted(_))));
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
        assert!(matches!(answer(&attempt), Some(Answer::Granted(_))));
    }

    /// Nor does one that nobody waits for any more keep the lock from those who do.
    #[tokio::test(start_paused = true)]
    async fn whoever_waited_before_an_attempt_and_left_is_passed_over() {
        let stage = Stage::new();
        let first = stage.caller();
        let ticket = stage.locks().join(&stage.resource, &first, Admission::New).unwrap();
        let (attempt, call) = stage.tries();
        let later = stage.waits();
        stage.locks().leave(&stage.resource, ticket, &first);
        stage.grants(call);
        assert!(matches!(answer(&attempt), Some(Answer::Granted(_))), "who waits now came after it");
        assert!(answer(&later).is_none());
    }
}
