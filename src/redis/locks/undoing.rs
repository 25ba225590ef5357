//! Taking back what was asked of the server, until it has answered (R4).

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Command, Due, Locks, Purpose, Step, Token};
use crate::redis::jitter::jittered;
use crate::redis::link::Outcome;
use crate::redis::script::{Undone, undone};
use crate::{LockOptions, Resource};

/// The first pause before an undoing is tried again; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How often an undoing that the server refuses is tried again.
const MOST_REFUSALS: u32 = 5;

/// What has to be taken back still.
#[derive(Debug, Default)]
pub(super) struct Undos(Mutex<HashMap<Token, Undo>>);

#[derive(Debug)]
struct Undo {
    resource: Resource,
    /// The lease would have ended by itself then.
    until: Instant,
    /// The acquire may run yet: that nothing was found says nothing.
    doubtful: bool,
    in_flight: bool,
    tries: u32,
    refusals: u32,
}

impl Undos {
    pub(super) fn len(&self) -> usize {
        // What may run yet but has been looked for once is no leftover: most likely there is nothing.
        self.0.lock().values().filter(|undo| !(undo.doubtful && undo.tries > 0 && !undo.in_flight)).count()
    }
}

impl Locks {
    /// Takes an acquire back whose answer is known and not wanted, or, if it is doubtful, not known.
    pub(super) fn undo(&self, resource: &Resource, token: Token, lease: Duration, doubtful: bool) {
        let until = Instant::now() + lease + self.link.settings().response_timeout;
        self.begin_undo(resource, token, until, doubtful);
        self.push(resource, token, Step::Undo, Purpose::Undo);
    }

    /// A release that did not get through. Tried again after a pause, or when there is a connection again.
    pub(super) fn undo_release(&self, resource: &Resource, token: Token) {
        self.begin_undo(resource, token, Instant::now() + LockOptions::MAX_TTL, false);
        self.undo_later(token, false);
    }

    fn begin_undo(&self, resource: &Resource, token: Token, until: Instant, doubtful: bool) {
        let mut undos = self.undos.0.lock();
        let undo = undos.entry(token).or_insert_with(|| Undo {
            resource: resource.clone(),
            until,
            doubtful,
            in_flight: true,
            tries: 0,
            refusals: 0,
        });
        undo.in_flight = true;
        undo.doubtful |= doubtful;
    }

    pub(super) fn undo_answered(&self, command: &Command, outcome: &Outcome) {
        let found = match outcome {
            Outcome::Answered { answer, .. } => undone(answer).ok(),
            Outcome::Refused(_) | Outcome::NotSent(_) | Outcome::Unknown { .. } => None,
        };
        let done = match found {
            Some(Undone::Found) => true,
            // It may come yet, from a connection that we have given up.
            Some(Undone::Nothing) => !self.undos.0.lock().get(&command.token).is_some_and(|undo| undo.doubtful),
            None => false,
        };
        if done {
            self.undos.0.lock().remove(&command.token);
            // The last that a closed provider had to tell, after whoever closed it had stopped waiting for that.
            if self.is_closed() && self.all_undone() && self.link.is_telling_the_last() {
                self.link.retire();
                self.agenda.end();
            }
        } else {
            self.undo_later(command.token, matches!(outcome, Outcome::Refused(_)));
        }
    }

    fn undo_later(&self, token: Token, refused: bool) {
        let mut undos = self.undos.0.lock();
        let Some(undo) = undos.get_mut(&token) else { return };
        undo.in_flight = false;
        undo.refusals += u32::from(refused);
        let now = Instant::now();
        if now >= undo.until || undo.refusals > MOST_REFUSALS {
            undos.remove(&token);
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << undo.tries.min(16)).min(LONGEST_PAUSE);
        undo.tries += 1;
        self.agenda.add(now + jittered(pause), Due::Undo(token));
    }

    pub(super) fn undo_due(&self, token: Token) {
        let mut undos = self.undos.0.lock();
        let Some(undo) = undos.get_mut(&token) else { return };
        if undo.in_flight {
            return;
        }
        if Instant::now() >= undo.until {
            undos.remove(&token);
            return;
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
