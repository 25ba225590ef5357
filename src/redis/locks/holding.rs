//! From the server's grant to a lease, and from one lease to the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{EndOfLine, Entry, Patience};
use super::renewing::next_step;
use super::tenure::Tenure;
use super::{Command, Deferred, Due, Locks, Purpose, Shard, Step, Waiter};
use crate::mutant::{Mutant, is};
use crate::redis::lease::RedisLease;
use crate::redis::length::Length;
use crate::redis::link::Outcome;
use crate::redis::script::flag;
use crate::redis::waiter::Answer;
use crate::{LockError, Resource};

impl Locks {
    /// The server has granted the lock to the ask of this process.
    pub(super) fn granted(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        mut tenure: Tenure,
        now: Instant,
        after: &mut Deferred,
    ) {
        let mut patience = Patience::New;
        if let Some(ask) = entry.take_ask() {
            self.forget_due(ask.due);
            if ask.is_waiting() {
                patience = Patience::Waiting;
            }
            if ask.late {
                tenure.acquire_in_doubt(ask.ttl.get());
            }
            if ask.wanted {
                tenure.others_wait(now);
            }
        }
        if self.replace_tenure(resource, entry, tenure, now, after) {
            self.serve_in_time(resource, entry, patience, now, after);
        }
    }

    /// Gives a lease that the server has just granted to the first who waits here, unless it was over before the grant
    /// arrived: because it is shorter than a round trip takes, or because the server or this process stood still.
    ///
    /// To ask again at once is no remedy for the former, and would go on for as long as the caller waits. So a caller
    /// whose lease was asked for when nobody was known to hold the lock is told. One who waits already is served again
    /// once, and is told the next time.
    fn serve_in_time(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        patience: Patience,
        now: Instant,
        after: &mut Deferred,
    ) {
        let Some(tenure) = entry.tenure.as_ref().filter(|tenure| tenure.ends() <= now) else {
            return self.serve_next(resource, entry, now, after);
        };
        let (ttl, round_trip) = (tenure.ttl(), now.saturating_duration_since(tenure.counts_from()));
        self.end_tenure(resource, entry, after);
        let first = entry.first().filter(|first| Length::from(first.options().get_ttl()) == ttl.into());
        if first.is_some_and(|first| first.is_late_again() || patience == Patience::New)
            && let Some(first) = entry.pop()
        {
            after.tell(&first, Answer::Failed(arrived_too_late(ttl, round_trip).into()));
        }
        self.ask_if_needed(resource, entry, patience, now, after);
    }

    /// A new tenure, instead of any there was: the server would not have granted it beside another of ours (R1).
    /// `false` if it is the older one, of which we hear late: an answer may be overtaken by a message. Whoever lends it
    /// puts it on the agenda.
    pub(super) fn replace_tenure(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        tenure: Tenure,
        now: Instant,
        after: &mut Deferred,
    ) -> bool {
        if entry.tenure.as_ref().is_some_and(|present| tenure.is_older_than(present)) {
            self.push_for(&tenure, resource, Step::Release, Purpose::LetGo);
            self.undo_late(resource, &tenure);
            return false;
        }
        if let Some(before) = entry.tenure.take() {
            self.forget_due(before.due);
            self.undo_late(resource, &before);
            if let Some(holder) = &before.holder {
                after.lose(holder, now);
            }
            after.drop_later(before);
        }
        entry.tenure = Some(tenure);
        true
    }

    /// Gives a tenure that nobody holds to the first who waits here. If nobody does it ends.
    pub(super) fn serve_next(&self, resource: &Resource, entry: &mut Entry, now: Instant, after: &mut Deferred) {
        if self.serve_one(resource, entry, None, now, after) {
            return;
        }
        if is(Mutant::CancelledAcquireStaysGranted) {
            entry.tenure = None;
        }
        self.end_tenure(resource, entry, after);
    }

    /// Gives a tenure that nobody holds to the first who waits here, or to the first of those who stood before an end of
    /// the line. `false` if none of them is there: one who is leaving just now stands in the line still.
    pub(super) fn serve_one(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        before: Option<EndOfLine>,
        now: Instant,
        after: &mut Deferred,
    ) -> bool {
        let epoch = self.clocks.epoch();
        while let Some(waiter) = entry.first_before(before).map(Arc::clone) {
            let Some(tenure) = &mut entry.tenure else { return true };
            if now >= tenure.ends() {
                self.end_tenure(resource, entry, after);
                self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
                return true;
            }
            if !tenure.is_enough_for(&waiter, now, epoch) {
                // The waiter stays in front until the server has answered.
                let lease = waiter.options().get_ttl();
                tenure.asked_in(epoch);
                self.schedule(resource, tenure, now);
                self.push_for(tenure, resource, Step::Reset { lease }, Purpose::Turn);
                return true;
            }
            entry.pop();
            if let Some(tenure) = &mut entry.tenure
                && lend(resource, tenure, &waiter, now, after)
            {
                self.schedule(resource, tenure, now);
                return true;
            }
        }
        false
    }

    /// A tenure ends: it was released, or its lease has ended, or nobody wants it.
    ///
    /// Its key is freed in any case. It may last for a moment longer than the lease here, and whoever waits elsewhere
    /// does not have to wait for that.
    pub(super) fn end_tenure(&self, resource: &Resource, entry: &mut Entry, after: &mut Deferred) {
        let Some(tenure) = entry.tenure.take() else { return };
        self.forget_due(tenure.due);
        self.push_for(&tenure, resource, Step::Release, Purpose::LetGo);
        self.undo_late(resource, &tenure);
        after.drop_later(tenure);
    }

    /// Ends a tenure whose lease is over, without waiting for the agenda.
    pub(super) fn end_if_over(&self, resource: &Resource, entry: &mut Entry, now: Instant, after: &mut Deferred) {
        if entry.tenure.as_ref().is_some_and(|tenure| tenure.lease_ends() <= now) {
            self.end_tenure(resource, entry, after);
        }
    }

    /// The tenure is no longer ours.
    pub(super) fn lose_tenure(&self, resource: &Resource, entry: &mut Entry, now: Instant, after: &mut Deferred) {
        let Some(tenure) = entry.tenure.take() else { return };
        self.forget_due(tenure.due);
        self.undo_late(resource, &tenure);
        if let Some(holder) = &tenure.holder {
            after.lose(holder, now);
        }
        after.drop_later(tenure);
        self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
    }

    /// The lease that the next turn needed has been asked for.
    pub(super) fn turn_answered(&self, command: &Command, outcome: Outcome) {
        let Command { resource, token, step } = command;
        let Step::Reset { lease } = *step else { return };
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let Some((entry, after)) = shard.find(resource) else { return };
        let Some(tenure) = entry.tenure_of(*token).filter(|tenure| tenure.holder.is_none()) else { return };
        match outcome {
            Outcome::Answered { answer, sent } => match flag(&answer) {
                Ok(Some(others_wait)) => {
                    tenure.renewed(sent, lease);
                    tenure.set_fresh(true);
                    if others_wait {
                        tenure.others_wait(sent);
                    }
                    self.serve_in_time(resource, entry, Patience::Waiting, now, after);
                }
                Ok(None) => self.lose_tenure(resource, entry, now, after),
                Err(_) => {
                    self.end_tenure(resource, entry, after);
                    self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
                }
            },
            // Whether it is ours still is not known. Those who wait go on waiting, for another.
            Outcome::Refused(_) | Outcome::NotSent(_) | Outcome::Unknown { .. } => {
                self.end_tenure(resource, entry, after);
                self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
            }
        }
        self.settle(resource, &mut shard);
    }

    /// Something is due for a tenure: its end, or a renewal.
    pub(super) fn tenure_due(&self, resource: &Resource, mut shard: Shard<'_>, now: Instant) {
        let Some((entry, after)) = shard.find(resource) else { return };
        let Some(tenure) = &mut entry.tenure else { return };
        if tenure.lease_ends() <= now {
            // The lease has seen it by the same clock, without being told.
            self.end_tenure(resource, entry, after);
            self.ask_if_needed(resource, entry, Patience::Waiting, now, after);
        } else {
            self.renew_if_due(resource, tenure, now);
            self.schedule(resource, tenure, now);
        }
        self.settle(resource, &mut shard);
    }

    /// Puts the next thing to do for a tenure on the agenda, instead of what was there.
    pub(super) fn schedule(&self, resource: &Resource, tenure: &mut Tenure, now: Instant) {
        let at = next_step(tenure, now);
        if tenure.due.is_some_and(|due| due.is_at(at)) {
            return;
        }
        self.forget_due(tenure.due.take());
        tenure.due = Some(self.agenda.add(at, Due::Lock(self.table.hash(resource))));
    }
}

/// The error of a caller whose lease was over before the server's grant arrived.
pub(super) fn arrived_too_late(ttl: Duration, round_trip: Duration) -> LockError {
    LockError::unavailable(format!(
        "the lease of {ttl:?} was over before the server's grant arrived (round trip: {} ms): use a longer ttl",
        round_trip.as_millis()
    ))
}

/// Gives the present turn to a waiter. `false` if it is gone.
pub(super) fn lend(
    resource: &Resource,
    tenure: &mut Tenure,
    waiter: &Arc<Waiter>,
    now: Instant,
    after: &mut Deferred,
) -> bool {
    // One that was granted just now counts from where its tenure does.
    let from = now.min(tenure.ends());
    let lease = RedisLease::new(
        resource.clone(),
        tenure.fencing_token(),
        from,
        tenure.ends().saturating_duration_since(from),
        *waiter.options(),
        Arc::clone(waiter.backend()),
    );
    let there = after.answer(waiter, Answer::Granted(Arc::clone(&lease))).is_ok();
    if there {
        tenure.set_fresh(false);
        tenure.holder = Some(lease);
    }
    there
}
