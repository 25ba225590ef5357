//! Taking back what was asked of the server, until it has answered (R4).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::entry::PendingRequest;
use super::ownership::Ownership;
use super::request::{leaving, may_pass};
use super::{CallKind, Command, Locks, Step, TimerEvent, Token};
use crate::redis::connection::Reply;
use crate::redis::jitter::jittered;
use crate::redis::protocol::{CancelReply, cancel_reply};
use crate::redis::timer_queue;
use crate::{LockOptions, Resource};

/// The first pause before an undoing is tried again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks for what may come yet.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Where the server has not answered, or refuses: somebody may be waiting for what is to be taken back.
const LONGEST_UNANSWERED_PAUSE: Duration = Duration::from_secs(1);

/// How often an undoing that the server refuses is tried again, if the refusal is not one that passes by itself.
const MOST_REFUSALS: u32 = 5;

/// What has to be taken back still.
#[derive(Debug, Default)]
pub(super) struct Cancellations(Mutex<HashMap<Token, Cancellation>>);

#[derive(Debug)]
struct Cancellation {
    resource: Resource,
    /// How long after it ran what was asked for would end by itself.
    lease: Duration,
    /// When it will have ended by itself. Counted from the server's first answer: one that is stopped runs what it was
    /// sent when it goes on.
    until: Instant,
    unacknowledged: Unacknowledged,
    due: Option<timer_queue::Entry>,
    in_flight: bool,
    /// The server has answered once.
    looked: bool,
    tries: u32,
    refusals: u32,
}

/// Whether acquires may run yet, from a connection that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Unacknowledged {
    None,
    /// The only one there was: that nothing was found says nothing.
    One,
    /// One of several: what was found may be another's.
    More,
}

impl Cancellations {
    pub(super) fn len(&self) -> usize {
        // What may run yet but has been looked for once is no leftover: most likely there is nothing.
        let may_come = |cancel: &&Cancellation| match cancel.unacknowledged {
            Unacknowledged::None => false,
            Unacknowledged::One => cancel.tries > 0 && !cancel.in_flight,
            // The others of several may well be there, until the server has answered.
            Unacknowledged::More => cancel.looked && !cancel.in_flight,
        };
        self.0.lock().values().filter(|cancel| !may_come(cancel)).count()
    }
}

impl Locks {
    /// Takes an acquire back whose answer is known and not wanted, or, if it is doubtful, not known.
    pub(super) fn cancel(&self, resource: &Resource, token: Token, lease: Duration, unacknowledged: Unacknowledged) {
        self.begin_cancellation(resource, token, lease, unacknowledged);
        self.push(resource, token, Step::Cancel, CallKind::Cancel);
    }

    /// Takes an ask back that is not under way.
    pub(super) fn undo_ask(&self, resource: &Resource, request: &PendingRequest) {
        self.begin_cancellation(resource, request.token, request.ttl.get(), request.unacknowledged());
        self.push(resource, request.token, leaving(request), CallKind::Cancel);
    }

    /// A release that did not get through. Tried again after a pause, or when there is a connection again.
    pub(super) fn cancel_release(&self, resource: &Resource, token: Token) {
        self.begin_cancellation(resource, token, LockOptions::MAX_TTL, Unacknowledged::None);
        self.cancel_later(token, LONGEST_UNANSWERED_PAUSE, false);
    }

    /// A tenure has ended. An acquire of its token that may run yet is undone for as long as it would matter.
    pub(super) fn cancel_unacknowledged(&self, resource: &Resource, ownership: &Ownership) {
        if let Some(lease) = ownership.late_acquire() {
            self.cancel(resource, ownership.token(self.connection.inbox()), lease, Unacknowledged::More);
        }
    }

    fn begin_cancellation(&self, resource: &Resource, token: Token, lease: Duration, unacknowledged: Unacknowledged) {
        let until = Instant::now() + LockOptions::MAX_TTL;
        let mut cancellations = self.cancellations.0.lock();
        let cancel = cancellations.entry(token).or_insert_with(|| Cancellation {
            resource: resource.clone(),
            lease,
            until,
            unacknowledged,
            due: None,
            in_flight: true,
            looked: false,
            tries: 0,
            refusals: 0,
        });
        cancel.in_flight = true;
        if unacknowledged > cancel.unacknowledged {
            cancel.unacknowledged = unacknowledged;
            cancel.lease = lease;
        }
    }

    pub(super) fn cancel_answered(&self, command: &Command, outcome: &Reply) {
        let found = match outcome {
            Reply::Answered { answer, .. } => cancel_reply(answer).ok(),
            Reply::Refused(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => None,
        };
        let done = match found {
            Some(found) => match self.cancellations.0.lock().get_mut(&command.token) {
                // It may come yet, from a connection that we have given up.
                Some(cancel)
                    if cancel.unacknowledged == Unacknowledged::More
                        || cancel.unacknowledged == Unacknowledged::One && found == CancelReply::Nothing =>
                {
                    let timeout = self.connection.settings().response_timeout;
                    cancel.looked = true;
                    cancel.until = cancel.until.min(Instant::now() + cancel.lease + timeout);
                    false
                }
                _ => true,
            },
            None => false,
        };
        if done {
            self.cancellations.0.lock().remove(&command.token);
            self.end_if_told();
        } else {
            let longest = if found.is_some() { LONGEST_PAUSE } else { LONGEST_UNANSWERED_PAUSE };
            self.cancel_later(command.token, longest, matches!(outcome, Reply::Refused(error) if !may_pass(error)));
        }
    }

    fn cancel_later(&self, token: Token, longest: Duration, refused: bool) {
        let mut cancellations = self.cancellations.0.lock();
        let Some(cancel) = cancellations.get_mut(&token) else { return };
        cancel.in_flight = false;
        cancel.refusals += u32::from(refused);
        let now = Instant::now();
        if now >= cancel.until || cancel.refusals > MOST_REFUSALS {
            cancellations.remove(&token);
            drop(cancellations);
            return self.end_if_told();
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << cancel.tries.min(16)).min(longest);
        cancel.tries += 1;
        if let Some(due) =
            cancel.due.replace(self.timers.add(now + jittered(pause), TimerEvent::Cancel(Box::new(token))))
        {
            self.timers.remove(due);
        }
    }

    pub(super) fn cancel_due(&self, token: Token, due: timer_queue::Entry) {
        let mut cancellations = self.cancellations.0.lock();
        let Some(cancel) = cancellations.get_mut(&token) else { return };
        if cancel.in_flight || cancel.due != Some(due) {
            return;
        }
        cancel.due = None;
        if Instant::now() >= cancel.until {
            cancellations.remove(&token);
            drop(cancellations);
            return self.end_if_told();
        }
        cancel.in_flight = true;
        self.push(&cancel.resource, token, Step::Cancel, CallKind::Cancel);
    }

    /// There is a connection again.
    pub(super) fn cancel_all_again(&self) {
        for (token, cancel) in self.cancellations.0.lock().iter_mut().filter(|(_, cancel)| !cancel.in_flight) {
            cancel.in_flight = true;
            self.push(&cancel.resource, *token, Step::Cancel, CallKind::Cancel);
        }
    }

    /// Whether nothing has to be taken back that is known to be there.
    pub(super) fn all_cancelled(&self) -> bool {
        self.cancellations.len() == 0
    }
}
