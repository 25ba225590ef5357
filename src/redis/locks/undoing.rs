//! Taking back what was asked of the server, until it has answered (R4).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::asking::{leaving, may_pass};
use super::entry::Ask;
use super::tenure::Tenure;
use super::{Command, Due, Locks, Purpose, Step, Token};
use crate::redis::agenda;
use crate::redis::jitter::jittered;
use crate::redis::link::Outcome;
use crate::redis::script::{Undone, undone};
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
pub(super) struct Undos(Mutex<HashMap<Token, Undo>>);

#[derive(Debug)]
struct Undo {
    resource: Resource,
    /// How long after it ran what was asked for would end by itself.
    lease: Duration,
    /// When it will have ended by itself. Counted from the server's first answer: one that is stopped runs what it was
    /// sent when it goes on.
    until: Instant,
    doubt: Doubt,
    due: Option<agenda::Entry>,
    in_flight: bool,
    /// The server has answered once.
    looked: bool,
    tries: u32,
    refusals: u32,
}

/// Whether acquires may run yet, from a connection that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doubt {
    None,
    /// The only one there was: that nothing was found says nothing.
    One,
    /// One of several: what was found may be another's.
    More,
}

impl Undos {
    pub(super) fn len(&self) -> usize {
        // What may run yet but has been looked for once is no leftover: most likely there is nothing.
        let may_come = |undo: &&Undo| match undo.doubt {
            Doubt::None => false,
            Doubt::One => undo.tries > 0 && !undo.in_flight,
            // The others of several may well be there, until the server has answered.
            Doubt::More => undo.looked && !undo.in_flight,
        };
        self.0.lock().values().filter(|undo| !may_come(undo)).count()
    }
}

impl Locks {
    /// Takes an acquire back whose answer is known and not wanted, or, if it is doubtful, not known.
    pub(super) fn undo(&self, resource: &Resource, token: Token, lease: Duration, doubt: Doubt) {
        self.begin_undo(resource, token, lease, doubt);
        self.push(resource, token, Step::Undo, Purpose::Undo);
    }

    /// Takes an ask back that is not under way.
    pub(super) fn undo_ask(&self, resource: &Resource, ask: &Ask) {
        self.begin_undo(resource, ask.token, ask.ttl.get(), ask.doubt());
        self.push(resource, ask.token, leaving(ask), Purpose::Undo);
    }

    /// A release that did not get through. Tried again after a pause, or when there is a connection again.
    pub(super) fn undo_release(&self, resource: &Resource, token: Token) {
        self.begin_undo(resource, token, LockOptions::MAX_TTL, Doubt::None);
        self.undo_later(token, LONGEST_UNANSWERED_PAUSE, false);
    }

    /// A tenure has ended. An acquire of its token that may run yet is undone for as long as it would matter.
    pub(super) fn undo_late(&self, resource: &Resource, tenure: &Tenure) {
        if let Some(lease) = tenure.late_acquire() {
            self.undo(resource, tenure.token(self.link.inbox()), lease, Doubt::More);
        }
    }

    fn begin_undo(&self, resource: &Resource, token: Token, lease: Duration, doubt: Doubt) {
        let until = Instant::now() + LockOptions::MAX_TTL;
        let mut undos = self.undos.0.lock();
        let undo = undos.entry(token).or_insert_with(|| Undo {
            resource: resource.clone(),
            lease,
            until,
            doubt,
            due: None,
            in_flight: true,
            looked: false,
            tries: 0,
            refusals: 0,
        });
        undo.in_flight = true;
        if doubt > undo.doubt {
            undo.doubt = doubt;
            undo.lease = lease;
        }
    }

    pub(super) fn undo_answered(&self, command: &Command, outcome: &Outcome) {
        let found = match outcome {
            Outcome::Answered { answer, .. } => undone(answer).ok(),
            Outcome::Refused(_) | Outcome::NotSent(_) | Outcome::Unknown { .. } => None,
        };
        let done = match found {
            Some(found) => match self.undos.0.lock().get_mut(&command.token) {
                // It may come yet, from a connection that we have given up.
                Some(undo) if undo.doubt == Doubt::More || undo.doubt == Doubt::One && found == Undone::Nothing => {
                    let timeout = self.link.settings().response_timeout;
                    undo.looked = true;
                    undo.until = undo.until.min(Instant::now() + undo.lease + timeout);
                    false
                }
                _ => true,
            },
            None => false,
        };
        if done {
            self.undos.0.lock().remove(&command.token);
            self.end_if_told();
        } else {
            let longest = if found.is_some() { LONGEST_PAUSE } else { LONGEST_UNANSWERED_PAUSE };
            self.undo_later(command.token, longest, matches!(outcome, Outcome::Refused(error) if !may_pass(error)));
        }
    }

    fn undo_later(&self, token: Token, longest: Duration, refused: bool) {
        let mut undos = self.undos.0.lock();
        let Some(undo) = undos.get_mut(&token) else { return };
        undo.in_flight = false;
        undo.refusals += u32::from(refused);
        let now = Instant::now();
        if now >= undo.until || undo.refusals > MOST_REFUSALS {
            undos.remove(&token);
            drop(undos);
            return self.end_if_told();
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << undo.tries.min(16)).min(longest);
        undo.tries += 1;
        if let Some(due) = undo.due.replace(self.agenda.add(now + jittered(pause), Due::Undo(Box::new(token)))) {
            self.agenda.remove(due);
        }
    }

    pub(super) fn undo_due(&self, token: Token, due: agenda::Entry) {
        let mut undos = self.undos.0.lock();
        let Some(undo) = undos.get_mut(&token) else { return };
        if undo.in_flight || undo.due != Some(due) {
            return;
        }
        undo.due = None;
        if Instant::now() >= undo.until {
            undos.remove(&token);
            drop(undos);
            return self.end_if_told();
        }
        undo.in_flight = true;
        self.push(&undo.resource, token, Step::Undo, Purpose::Undo);
    }

    /// There is a connection again.
    pub(super) fn undo_all_again(&self) {
        for (token, undo) in self.undos.0.lock().iter_mut().filter(|(_, undo)| !undo.in_flight) {
            undo.in_flight = true;
            self.push(&undo.resource, *token, Step::Undo, Purpose::Undo);
        }
    }

    /// Whether nothing has to be taken back that is known to be there.
    pub(super) fn all_undone(&self) -> bool {
        self.undos.len() == 0
    }
}
