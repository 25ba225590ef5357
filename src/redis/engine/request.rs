//! The ask: the one place in the server's queue that all waiters of this process share.

use std::time::Duration;

use tokio::time::Instant;

use super::acquire::{begin_to_wait, fail_waiters};
use super::cancel::Unacknowledged;
use super::entry::{Entry, OnServerFailure, PendingRequest, Queued};
use super::ownership::Ownership;
use super::{CallKind, Deferred, Locks, Shard, Step, TimerEvent, Token};
use crate::redis::connection::{Condition, Reply, was_cut};
use crate::redis::jitter::jittered;
use crate::redis::protocol::{Acquired, Command, Joining, Publishing, acquired};
use crate::redis::ttl_millis::TtlMillis;
use crate::telemetry;
use crate::{LockError, Resource};

/// How long a waiter relies on messages before it asks again: a lost message costs no more, and a holder of another
/// make, which tells nobody, is noticed gone within it. Ten seconds of waiting are about eleven commands.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(920);

/// What is added to a lease's end before asking whether it has ended: a server's keys expire by the millisecond.
const AFTER_THE_END: Duration = Duration::from_millis(2);

/// Where messages are not permitted: the first interval between two questions, and the longest.
const FIRST_POLL: Duration = Duration::from_millis(10);
const LONGEST_POLL: Duration = Duration::from_millis(400);

/// How often the entry of a waiter may be dropped from the queue while it lives, until it asks again and again instead of
/// being told. A connection that broke just then costs an entry as well; more than one does not come of that.
const MOST_DROPS: u8 = 2;

impl Locks {
    /// Asks the server for the lock if somebody waits for it here and has no other way to it (R3).
    pub(super) fn send_request_if_needed(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        on_failure: OnServerFailure,
        now: Instant,
        after: &mut Deferred,
    ) {
        if entry.ownership.is_some() || entry.request().is_some() {
            return;
        }
        let Some(first) = entry.first() else { return };
        let token = match Token::random(self.connection.inbox()) {
            Ok(token) => token,
            Err(error) => return fail_waiters(entry, &error, after),
        };
        let ttl = first.options().get_ttl();
        // Whoever allows nobody to wait does not wait either.
        let joining = match first.options().get_max_waiters() {
            Some(0) => Joining::No,
            _ => Joining::Queue { deadline: None },
        };
        entry.begin_request(PendingRequest {
            token,
            ttl: ttl.into(),
            on_failure,
            // Before it is pushed: a lease that is counted from here ends early rather than late (R2).
            begun: now.into(),
            in_flight: Some(now.into()),
            epoch: self.clocks.epoch(),
            queued: None,
            lease_left: None,
            wanted: false,
            late: false,
            due: None,
            polls: 0,
        });
        self.push(resource, token, Step::Acquire { lease: ttl, joining }, CallKind::PendingRequest);
    }

    /// Asks again for a lock for which we are in the queue: a message may have been lost.
    pub(super) fn send_again(&self, resource: &Resource, entry: &mut Entry, now: Instant) {
        let Some(request) = entry.request_mut().filter(|request| request.in_flight.is_none()) else { return };
        self.remove_timer(request.due.take());
        request.in_flight = Some(now.into());
        request.epoch = self.clocks.epoch();
        let lease = request.ttl.get();
        self.push(
            resource,
            request.token,
            Step::Acquire { lease, joining: joining(request) },
            CallKind::PendingRequest,
        );
    }

    /// When to ask again for a lock that somebody else holds.
    fn next_question(&self, request: &mut PendingRequest, lease_left: Option<Duration>) -> Duration {
        let no_channels = matches!(self.connection.condition(), Condition::Up { publishing: Publishing::Refused });
        let usual = if no_channels || is_unheard(request) {
            let grown = FIRST_POLL.saturating_mul(1 << request.polls.min(16)).min(LONGEST_POLL);
            request.polls = request.polls.saturating_add(1);
            grown
        } else {
            ASK_AGAIN
        };
        let usual = jittered(usual);
        lease_left.map_or(usual, |left| usual.min(left + AFTER_THE_END))
    }

    /// The server has answered, or has not, to the ask of this process.
    pub(super) fn request_answered(&self, command: &Command, outcome: Reply) {
        let Command { resource, token, .. } = command;
        let mut shard = self.shard(resource);
        let now = Instant::now();
        if !shard.get(resource).is_some_and(|entry| entry.has_request(*token)) {
            return self.answered_too_late(&mut shard, command, &outcome);
        }
        let Some((entry, after)) = shard.find(resource) else { return };
        let Some(request) = entry.request_of(*token) else { return };
        request.in_flight = None;
        let ttl = request.ttl.get();
        let (answer, sent) = match outcome {
            Reply::Answered { answer, sent } => (acquired(&answer), sent),
            Reply::Refused(error) => (Err(error), now),
            // It has not run: nothing to undo.
            Reply::NotSent(error) => {
                self.not_answered(resource, entry, &error, false, now, after);
                return self.clean_up_entry(resource, &mut shard);
            }
            Reply::Indeterminate { error } => {
                self.not_answered(resource, entry, &error, true, now, after);
                return self.clean_up_entry(resource, &mut shard);
            }
        };
        match answer {
            Ok(Acquired::Granted { fence, others_wait, .. }) => {
                let epoch = self.clocks.epoch();
                if request.epoch != epoch {
                    // Our clock may have stood still while the answer was on its way. The next says anew. It is ours, most
                    // likely, so that there is something to wait for, whether the server is reached or not.
                    request.on_failure = OnServerFailure::Retry;
                    return self.send_again(resource, entry, now);
                }
                let ownership = Ownership::new(*token, fence, (sent, epoch), ttl, others_wait);
                self.granted(resource, entry, ownership, now, after);
            }
            Ok(Acquired::Queued { lease_left, at, deadline, dropped }) => {
                request.queued = Some(Queued { deadline, sent: sent.into(), at });
                request.lease_left = lease_left.map(TtlMillis::from);
                request.polls = request.polls.saturating_add(u8::from(dropped));
                let gives_up_messages = dropped && request.polls == MOST_DROPS;
                if gives_up_messages {
                    telemetry::not_notified(&self.connection.settings().server, resource);
                }
                // Its entry says still that it is to be told.
                let again = if gives_up_messages { Duration::ZERO } else { self.next_question(request, lease_left) };
                request.due = Some(self.timers.add(now + again, TimerEvent::Lock(self.table.hash(resource))));
                begin_to_wait(entry, &self.waiter_limit, after);
            }
            Ok(Acquired::Busy) => {
                entry.take_request();
                begin_to_wait(entry, &self.waiter_limit, after);
                self.send_request_if_needed(resource, entry, OnServerFailure::Fail, now, after);
            }
            Ok(Acquired::Unfinished) => {
                request.in_flight = Some(now.into());
                request.epoch = self.clocks.epoch();
                self.push(resource, *token, command.step, CallKind::PendingRequest);
            }
            Err(error) => self.refused(resource, entry, &error, now, after),
        }
        self.clean_up_entry(resource, &mut shard);
    }

    /// An answer to an ask that is over. Only a message can have ended it before its answer, and that was a grant:
    /// but whatever it was, what the server may still have of it is taken back (R4).
    fn answered_too_late(&self, shard: &mut Shard<'_>, command: &Command, outcome: &Reply) {
        let Step::Acquire { lease, .. } = command.step else { return };
        let queued = match outcome {
            Reply::Answered { answer, .. } => !matches!(acquired(answer), Ok(Acquired::Granted { .. })),
            Reply::NotSent(_) => true,
            Reply::Refused(_) | Reply::Indeterminate { .. } => false,
        };
        let unknown = matches!(outcome, Reply::Indeterminate { .. });
        // Where it said "queued" the grant came after it, by the message that we have had.
        let ours = shard.get_mut(&command.resource).and_then(|entry| entry.ownership_of(command.token));
        match ours {
            Some(ownership) if unknown => ownership.acquire_in_doubt(lease),
            None if unknown => self.cancel(&command.resource, command.token, lease, Unacknowledged::More),
            None if !queued => self.cancel(&command.resource, command.token, lease, Unacknowledged::None),
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
        now: Instant,
        after: &mut Deferred,
    ) {
        let Some(request) = entry.request_mut() else { return };
        if request.is_waiting() {
            // It waits, and goes on waiting: what it asked again is safe to be asked once more.
            request.late |= may_have_run;
            let due = TimerEvent::Lock(self.table.hash(resource));
            request.due = Some(self.timers.add(now + jittered(ASK_AGAIN), due));
            return;
        }
        let (token, ttl, on_failure) = (request.token, request.ttl.get(), request.on_failure);
        entry.take_request();
        if may_have_run {
            self.cancel(resource, token, ttl, Unacknowledged::One);
        }
        // A server closes a connection that was idle for long, perhaps while this was on its way to it. Whether it has run
        // cannot be told from that: a server that is killed closes the connection as well. So it is not repeated. It is
        // cancelled, and asked anew under another token, which cannot be mistaken for it; the cancellation goes out first.
        // Once: a connection that is closed by what is asked is not made for ever.
        if may_have_run && on_failure == OnServerFailure::Fail && was_cut(error) {
            return self.send_request_if_needed(resource, entry, OnServerFailure::Anew, now, after);
        }
        fail_waiters(entry, error, after);
    }

    /// The server has answered with an error.
    fn refused(&self, resource: &Resource, entry: &mut Entry, error: &LockError, now: Instant, after: &mut Deferred) {
        let Some(request) = entry.request_mut() else { return };
        if request.is_waiting() && may_pass(error) {
            let due = TimerEvent::Lock(self.table.hash(resource));
            request.due = Some(self.timers.add(now + jittered(ASK_AGAIN), due));
            return;
        }
        let (token, ttl, unacknowledged) = (request.token, request.ttl.get(), request.unacknowledged());
        let nothing_there = request.queued.is_none() && !request.late && has_not_run(error);
        entry.take_request();
        // A script that failed half-way may have left us in the queue. Where there was none, an undoing would be refused
        // like this, and as many would be kept as callers came in vain.
        if !nothing_there {
            self.cancel(resource, token, ttl, unacknowledged);
        }
        fail_waiters(entry, error, after);
    }
}

/// How an ask stands in the queue.
fn joining(request: &PendingRequest) -> Joining {
    let deadline = request.known_deadline();
    if is_unheard(request) { Joining::Poll { deadline } } else { Joining::Queue { deadline: Some(deadline) } }
}

/// Whether notifications do not reach an ask, though its process may subscribe: the processes that release publish them
/// under the name of another inbox, because their providers have another prefix, which begins with ours or ours with it.
fn is_unheard(request: &PendingRequest) -> bool {
    request.polls >= MOST_DROPS
}

/// Takes an ask out of the queue, or frees what it was granted meanwhile.
pub(super) fn leaving(request: &PendingRequest) -> Step {
    match request.queued {
        // One that may run yet can have written another entry.
        Some(Queued { deadline, .. }) if !request.late => {
            Step::Leave { lease: request.ttl, deadline, polls: is_unheard(request) }
        }
        _ => Step::Cancel,
    }
}

/// Whether an error of the server is likely to pass: whoever waits already goes on waiting, and what has to be undone
/// still has to be.
pub(super) fn may_pass(error: &LockError) -> bool {
    const PASSING: [&str; 9] =
        ["LOADING", "BUSY", "MASTERDOWN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "CLUSTERDOWN", "TRYAGAIN"];
    code(error).is_some_and(|code| PASSING.contains(&code))
}

/// Whether the server refused before it began with the script.
fn has_not_run(error: &LockError) -> bool {
    const BEFORE_IT_BEGAN: [&str; 5] = ["LOADING", "BUSY", "NOAUTH", "NOPERM", "NOSCRIPT"];
    code(error).is_some_and(|code| BEFORE_IT_BEGAN.contains(&code)) && !error.to_string().contains("script: ")
}

/// The code that the server answered.
fn code(error: &LockError) -> Option<&str> {
    let source = std::error::Error::source(error).and_then(std::error::Error::source);
    source.and_then(|source| source.downcast_ref::<::redis::RedisError>()).and_then(::redis::RedisError::code)
}
