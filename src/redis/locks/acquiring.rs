//! From a caller who wants a lock to the server's grant.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Ask, Entry, Patience, Queued, Tenure};
use super::holding::lend;
use super::undoing::Doubt;
use super::{Due, Locks, Purpose, Shard, Step, Token, Waiter, Wakers};
use crate::redis::jitter::jittered;
use crate::redis::link::{Condition, Outcome};
use crate::redis::script::{Acquired, Command, Grant, Joining, Publishing, ServerTime, acquired};
use crate::redis::waiter::Answer;
use crate::{LockError, LockOptions, Resource};

/// How long a waiter relies on messages before it asks again: a lost message costs no more, and a holder of another
/// make, which tells nobody, is noticed gone within it. Ten seconds of waiting are about eleven commands.
const ASK_AGAIN: Duration = Duration::from_millis(920);

/// What is added to a lease's end before asking whether it has ended: a server's keys expire by the millisecond.
const AFTER_THE_END: Duration = Duration::from_millis(2);

/// Where messages are not permitted: the first interval between two questions, and the longest.
const FIRST_POLL: Duration = Duration::from_millis(10);
const LONGEST_POLL: Duration = Duration::from_millis(400);

/// How a caller who gives up leaves.
pub(in crate::redis) enum GaveUp {
    /// Somebody else holds the lock, as the server said.
    Held,
    /// Nobody knows.
    Unknown(LockError),
    /// The answer came at the last moment.
    Answered,
}

impl Locks {
    /// A caller wants the lock, and is ready to wait. Returns its ticket.
    pub(in crate::redis) fn join(&self, resource: &Resource, waiter: &Arc<Waiter>) -> Result<u64, LockError> {
        let mut shard = self.shard(resource);
        // Under the mutex: closing goes through the shards after it has been noted.
        if self.is_closed() {
            return Err(LockError::Closed);
        }
        let now = Instant::now();
        let entry = shard.entry(resource.clone()).or_default();
        // Behind nobody: an ask that is under way for a caller who has left is as good as one of its own.
        let is_first = entry.first().is_none() && entry.tenure.is_none();
        if !is_first && waiter.options().get_max_waiters().is_some_and(|most| entry.waiting() >= most) {
            return Err(LockError::TooManyWaiters);
        }
        if !entry.is_held_here(now) {
            // Whoever waits already goes on waiting while the server is out of reach. Nobody begins to.
            if let Some(error) = self.link.trouble() {
                self.settle(resource, &mut shard);
                return Err(error);
            }
            self.end_if_over(resource, entry, now);
        }
        let patience = if entry.first().is_some() { Patience::Waiting } else { Patience::New };
        let ticket = entry.join(Arc::clone(waiter));
        self.ask_if_needed(resource, entry, patience);
        Ok(ticket)
    }

    /// A caller wants the lock at once or not at all. `false` if it is held in this process.
    pub(in crate::redis) fn try_at_once(&self, resource: &Resource, waiter: &Arc<Waiter>) -> Result<bool, LockError> {
        let mut shard = self.shard(resource);
        if self.is_closed() {
            return Err(LockError::Closed);
        }
        if let Some(entry) = shard.get_mut(resource) {
            let now = Instant::now();
            // Our own lease is as good as the server's word.
            if entry.is_held_here(now) {
                return Ok(false);
            }
            self.end_if_over(resource, entry, now);
            self.ask_if_needed(resource, entry, Patience::Waiting);
            self.settle(resource, &mut shard);
        }
        // Not for the others who wait here: whether the server answers at all has to be found out.
        let token = Token::random(self.link.inbox())?;
        let step = Step::Acquire { lease: waiter.options().get_ttl(), joining: Joining::No };
        self.push(resource, token, step, Purpose::Try(Arc::clone(waiter)));
        Ok(true)
    }

    /// A caller goes away, whatever it came to.
    pub(in crate::redis) fn leave(&self, resource: &Resource, ticket: u64, waiter: &Arc<Waiter>) {
        let mut shard = self.shard(resource);
        if let Some(entry) = shard.get_mut(resource) {
            entry.leave(ticket, waiter);
            self.settle(resource, &mut shard);
        }
    }

    /// A caller's time is up.
    pub(in crate::redis) fn give_up(&self, resource: &Resource, ticket: u64, waiter: &Arc<Waiter>) -> GaveUp {
        let mut shard = self.shard(resource);
        let Some(entry) = shard.get_mut(resource) else { return GaveUp::Answered };
        if !entry.leave(ticket, waiter) {
            return GaveUp::Answered;
        }
        let gave_up = self.word_on(entry, Instant::now());
        self.settle(resource, &mut shard);
        gave_up
    }

    /// What is known of a lock that we do not hold: the server's word, or that it is silent.
    fn word_on(&self, entry: &Entry, now: Instant) -> GaveUp {
        if entry.is_held_here(now) {
            return GaveUp::Held;
        }
        if let Some(error) = self.link.silence() {
            return GaveUp::Unknown(error);
        }
        let Some(ask) = &entry.ask else { return GaveUp::Held };
        let silent = ask.in_flight.map(|since| now.duration_since(since));
        let settings = self.link.settings();
        match silent {
            // Half the time after which the connection is taken for dead is too long for an answer on its way.
            Some(silent) if !ask.is_waiting() || silent > settings.response_timeout / 2 => {
                GaveUp::Unknown(LockError::unavailable(format!(
                    "redis at {} has not answered for {} ms, and the caller's time is up",
                    settings.server,
                    silent.as_millis()
                )))
            }
            _ => GaveUp::Held,
        }
    }

    /// Brings an entry in order after somebody left it (R3, R5).
    pub(super) fn settle(&self, resource: &Resource, shard: &mut Shard<'_>) {
        let Some(entry) = shard.get_mut(resource) else { return };
        if entry.first().is_none() {
            if entry.tenure.as_ref().is_some_and(|tenure| tenure.holder.is_none()) {
                self.end_tenure(resource, entry);
            }
            // One that is under way is undone when its answer comes (R4).
            if let Some(ask) = entry.ask.take_if(|ask| ask.in_flight.is_none()) {
                self.forget_due(ask.due);
                self.undo(resource, ask.token, ask.ttl, ask.doubt());
            }
        }
        if entry.is_empty() {
            shard.remove(resource);
        }
    }

    /// Asks the server for the lock if somebody waits for it here and has no other way to it (R3).
    pub(super) fn ask_if_needed(&self, resource: &Resource, entry: &mut Entry, patience: Patience) {
        if entry.tenure.is_some() || entry.ask.is_some() {
            return;
        }
        let Some(first) = entry.first() else { return };
        let token = match Token::random(self.link.inbox()) {
            Ok(token) => token,
            Err(error) => {
                let mut wakers = Wakers::default();
                fail_waiters(entry, &error, &mut wakers);
                return wakers.wake();
            }
        };
        let ttl = first.options().get_ttl();
        // Whoever allows nobody to wait does not wait either.
        let joining = match first.options().get_max_waiters() {
            Some(0) => Joining::No,
            _ => Joining::Queue { deadline: None },
        };
        let begun = Instant::now();
        let in_flight = Some(begun);
        entry.ask = Some(Ask {
            token,
            ttl,
            patience,
            begun,
            in_flight,
            queued: None,
            wanted: false,
            late: false,
            due: None,
            polls: 0,
        });
        self.push(resource, token, Step::Acquire { lease: ttl, joining }, Purpose::Ask);
    }

    /// Asks again for a lock for which we are in the queue: a message may have been lost.
    pub(super) fn ask_again(&self, resource: &Resource, entry: &mut Entry) {
        let Some(ask) = entry.ask.as_mut().filter(|ask| ask.in_flight.is_none()) else { return };
        self.forget_due(ask.due.take());
        ask.in_flight = Some(Instant::now());
        let joining = Joining::Queue { deadline: Some(ask.known_deadline()) };
        self.push(resource, ask.token, Step::Acquire { lease: ask.ttl, joining }, Purpose::Ask);
    }

    pub(super) fn ask_due(&self, resource: &Resource, token: Token) {
        let mut shard = self.shard(resource);
        if let Some(entry) = shard.get_mut(resource)
            && let Some(ask) = entry.ask_of(token)
        {
            ask.due = None;
            self.ask_again(resource, entry);
        }
    }

    /// The server has answered, or has not, to the ask of this process.
    pub(super) fn ask_answered(&self, command: &Command, outcome: Outcome) {
        let Command { resource, token, .. } = command;
        let mut wakers = Wakers::default();
        let mut shard = self.shard(resource);
        let now = Instant::now();
        if !shard.get(resource).is_some_and(|entry| entry.has_ask(*token)) {
            return self.answered_too_late(&mut shard, command, &outcome);
        }
        let Some(entry) = shard.get_mut(resource) else { return };
        let Some(ask) = entry.ask_of(*token) else { return };
        ask.in_flight = None;
        let ttl = ask.ttl;
        let (answer, sent) = match outcome {
            Outcome::Answered { answer, sent } => (acquired(&answer), sent),
            Outcome::Refused(error) => (Err(error), now),
            // It has not run: nothing to undo.
            Outcome::NotSent(error) => {
                self.not_answered(resource, entry, &error, false, &mut wakers);
                self.settle(resource, &mut shard);
                drop(shard);
                return wakers.wake();
            }
            Outcome::Unknown { error } => {
                self.not_answered(resource, entry, &error, true, &mut wakers);
                self.settle(resource, &mut shard);
                drop(shard);
                return wakers.wake();
            }
        };
        match answer {
            Ok(Acquired::Granted { fence, others_wait, .. }) => {
                self.granted(resource, entry, Tenure::new(*token, fence, sent, ttl, others_wait), &mut wakers);
            }
            Ok(Acquired::Queued { lease_left, at, deadline }) => {
                ask.queued = Some(Queued { deadline, sent, at });
                let again = self.next_question(ask, lease_left);
                ask.due = Some(self.agenda.add(now + again, Due::Ask(resource.clone(), *token)));
                fail_who_does_not_wait(entry, &mut wakers);
            }
            Ok(Acquired::Busy) => {
                entry.ask = None;
                fail_who_does_not_wait(entry, &mut wakers);
                self.ask_if_needed(resource, entry, Patience::New);
            }
            Err(error) => self.refused(resource, entry, &error, &mut wakers),
        }
        self.settle(resource, &mut shard);
        drop(shard);
        wakers.wake();
    }

    /// The lock is ours, by a message: whoever held it has handed it on.
    pub(super) fn granted_by_message(&self, grant: &Grant) {
        let Grant { resource, token, .. } = grant;
        let mut wakers = Wakers::default();
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let entry = match shard.get_mut(resource) {
            Some(entry) if entry.has_ask(*token) => entry,
            // Known already from an answer that overtook the message.
            Some(entry) if entry.has_tenure(*token) => return,
            // Nobody here wants it any more. Undone already, or to be: once more does no harm (R4).
            _ => return self.undo(resource, *token, LockOptions::MAX_TTL, Doubt::None),
        };
        let Some(ask) = entry.ask_of(*token) else { return };
        let from = granted_since(ask, grant.at, now);
        let tenure = Tenure::new(*token, grant.fence, from, ask.ttl, grant.others_wait);
        self.granted(resource, entry, tenure, &mut wakers);
        self.settle(resource, &mut shard);
        drop(shard);
        wakers.wake();
    }

    /// The server has answered, or has not, to a caller who does not wait.
    pub(super) fn try_answered(&self, command: &Command, waiter: &Arc<Waiter>, outcome: Outcome) {
        let Command { resource, token, .. } = command;
        let ttl = waiter.options().get_ttl();
        let (granted, doubtful) = match outcome {
            Outcome::Answered { answer, sent } => (acquired(&answer).map(|answer| (answer, sent)), false),
            Outcome::Refused(error) | Outcome::NotSent(error) => (Err(error), false),
            Outcome::Unknown { error } => (Err(error), true),
        };
        let mut wakers = Wakers::default();
        match granted {
            Ok((Acquired::Granted { fence, others_wait, .. }, sent)) => {
                let mut shard = self.shard(resource);
                let entry = shard.entry(resource.clone()).or_default();
                if self.is_closed() {
                    wakers.add(waiter.answer(Answer::Failed(LockError::Closed)).unwrap_or_default());
                }
                let tenure = Tenure::new(*token, fence, sent, ttl, others_wait);
                let replaced = self.replace_tenure(resource, entry, tenure);
                let Some(tenure) = &mut entry.tenure else { return };
                if !replaced {
                    // Somebody of this process holds it since.
                    wakers.add(waiter.answer(Answer::Busy).unwrap_or_default());
                } else if lend(resource, tenure, waiter, &mut wakers) {
                    self.schedule(resource, tenure);
                } else {
                    // Nobody was there any more.
                    self.end_tenure(resource, entry);
                    self.ask_if_needed(resource, entry, Patience::Waiting);
                }
                self.settle(resource, &mut shard);
            }
            Ok((Acquired::Queued { .. } | Acquired::Busy, _)) => {
                wakers.add(waiter.answer(Answer::Busy).unwrap_or_default());
            }
            Err(error) => {
                if doubtful {
                    self.undo(resource, *token, ttl, Doubt::One);
                }
                wakers.add(waiter.answer(Answer::Failed(error)).unwrap_or_default());
            }
        }
        wakers.wake();
    }

    /// Others wait for a lock that is ours.
    pub(super) fn wanted_by_others(&self, resource: &Resource, token: Token) {
        let mut shard = self.shard(resource);
        let Some(entry) = shard.get_mut(resource) else { return };
        if let Some(tenure) = entry.tenure_of(token) {
            tenure.others_wait(Instant::now());
        } else if let Some(ask) = entry.ask_of(token) {
            // The message has overtaken the grant.
            ask.wanted = true;
        }
    }

    /// An answer to an ask that is over. Only a message can have ended it before its answer, and that was a grant:
    /// but whatever it was, what the server may still have of it is taken back (R4).
    fn answered_too_late(&self, shard: &mut Shard<'_>, command: &Command, outcome: &Outcome) {
        let Step::Acquire { lease, .. } = command.step else { return };
        let queued = match outcome {
            Outcome::Answered { answer, .. } => !matches!(acquired(answer), Ok(Acquired::Granted { .. })),
            Outcome::NotSent(_) => true,
            Outcome::Refused(_) | Outcome::Unknown { .. } => false,
        };
        let unknown = matches!(outcome, Outcome::Unknown { .. });
        // Where it said "queued" the grant came after it, by the message that we have had.
        let ours = shard.get_mut(&command.resource).and_then(|entry| entry.tenure_of(command.token));
        match ours {
            Some(tenure) if unknown => tenure.late_acquire = Some(lease),
            None if unknown => self.undo(&command.resource, command.token, lease, Doubt::More),
            None if !queued => self.undo(&command.resource, command.token, lease, Doubt::None),
            _ => {}
        }
    }

    /// The server was not reached, or has not said what it did.
    fn not_answered(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        error: &LockError,
        may_have_run: bool,
        wakers: &mut Wakers,
    ) {
        let Some(ask) = &mut entry.ask else { return };
        if ask.is_waiting() {
            // It waits, and goes on waiting: what it asked again is safe to be asked once more.
            ask.late |= may_have_run;
            let due = Due::Ask(resource.clone(), ask.token);
            ask.due = Some(self.agenda.add(Instant::now() + jittered(ASK_AGAIN), due));
            return;
        }
        let (token, ttl) = (ask.token, ask.ttl);
        entry.ask = None;
        if may_have_run {
            self.undo(resource, token, ttl, Doubt::One);
        }
        fail_waiters(entry, error, wakers);
    }

    /// The server has answered with an error.
    fn refused(&self, resource: &Resource, entry: &mut Entry, error: &LockError, wakers: &mut Wakers) {
        let Some(ask) = &mut entry.ask else { return };
        if ask.is_waiting() && may_pass(error) {
            let due = Due::Ask(resource.clone(), ask.token);
            ask.due = Some(self.agenda.add(Instant::now() + jittered(ASK_AGAIN), due));
            return;
        }
        let (token, ttl, doubt) = (ask.token, ask.ttl, ask.doubt());
        entry.ask = None;
        // A script that failed half-way may have left us in the queue.
        self.undo(resource, token, ttl, doubt);
        fail_waiters(entry, error, wakers);
    }

    /// When to ask again for a lock that somebody else holds.
    fn next_question(&self, ask: &mut Ask, lease_left: Option<Duration>) -> Duration {
        let usual = match self.link.condition() {
            Condition::Up { publishing: Publishing::Refused } => {
                let grown = FIRST_POLL.saturating_mul(1 << ask.polls.min(16)).min(LONGEST_POLL);
                ask.polls += 1;
                grown
            }
            _ => ASK_AGAIN,
        };
        let usual = jittered(usual);
        lease_left.map_or(usual, |left| usual.min(left + AFTER_THE_END))
    }

    pub(super) fn forget_due(&self, due: Option<crate::redis::agenda::Entry>) {
        if let Some(due) = due {
            self.agenda.remove(due);
        }
    }
}

/// Whoever allows nobody to wait, and has been admitted because nobody did, does not wait either.
fn fail_who_does_not_wait(entry: &mut Entry, wakers: &mut Wakers) {
    if entry.first().is_some_and(|first| first.options().get_max_waiters() == Some(0))
        && let Some(waiter) = entry.pop()
    {
        wakers.add(waiter.answer(Answer::Failed(LockError::TooManyWaiters)).unwrap_or_default());
    }
}

/// Ends every wait of an entry with an error.
pub(super) fn fail_waiters(entry: &mut Entry, error: &LockError, wakers: &mut Wakers) {
    for waiter in entry.take_waiters() {
        wakers.add(waiter.answer(Answer::Failed(error.clone())).unwrap_or_default());
    }
}

/// The earliest time, by our clock, at which a lease can have begun that a message tells of.
///
/// The message may be late, so that the time of its arrival is of no use alone. The server's clock says how long
/// after our last question the grant was, and our clock when that question was sent: earlier than the server read
/// its clock. A five-hundredth is taken off for what the two clocks may differ by in between.
fn granted_since(ask: &Ask, at: ServerTime, arrived: Instant) -> Instant {
    let Some(queued) = ask.queued else { return ask.begun };
    let since = at.since(queued.at);
    (queued.sent + since - since / 500).min(arrived)
}

/// Whether an error of the server is likely to pass: whoever waits already goes on waiting, and what has to be undone
/// still has to be.
pub(super) fn may_pass(error: &LockError) -> bool {
    const PASSING: [&str; 9] =
        ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"];
    let source = std::error::Error::source(error).and_then(std::error::Error::source);
    source
        .and_then(|source| source.downcast_ref::<::redis::RedisError>())
        .and_then(::redis::RedisError::code)
        .is_some_and(|code| PASSING.contains(&code))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A message that is an hour late grants a lease that is over.
    #[tokio::test(start_paused = true)]
    async fn a_late_message_does_not_make_a_lease_longer() {
        let sent = Instant::now();
        let token = Token::parse("0123456789abcdef.0123456789abcdef0123456789abcdef").unwrap();
        let queued = Queued { deadline: 0, sent, at: ServerTime(1_000_000_000) };
        let mut ask = Ask {
            token,
            ttl: Duration::from_secs(30),
            patience: Patience::New,
            begun: sent,
            in_flight: None,
            queued: Some(queued),
            wanted: false,
            late: false,
            due: None,
            polls: 0,
        };
        let grant = ServerTime(1_000_000_000 + 5_000_000);
        let in_time = granted_since(&ask, grant, sent + Duration::from_secs(6));
        assert!(in_time <= sent + Duration::from_secs(5) && in_time > sent + Duration::from_millis(4_980));
        let late = granted_since(&ask, grant, sent + Duration::from_secs(3_600));
        assert_eq!(late, in_time, "it counts from the grant, whenever the message came");
        let early = granted_since(&ask, grant, sent + Duration::from_secs(1));
        assert_eq!(early, sent + Duration::from_secs(1), "a server's clock that ran ahead counts from the arrival");
        ask.queued = None;
        assert_eq!(granted_since(&ask, grant, sent + Duration::from_secs(1)), sent, "without an answer, from the ask");
    }
}
