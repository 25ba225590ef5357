//! From the server's grant to a lease, and from one lease to the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, OnServerFailure, QueueEnd};
use super::ownership::Ownership;
use super::renew::next_step;
use super::{AcquireSlot, CallKind, Command, Deferred, Locks, Shard, Step, TimerEvent};
use crate::redis::acquire_slot::AcquireResult;
use crate::redis::connection::Reply;
use crate::redis::lease::RedisLease;
use crate::redis::protocol::flag;
use crate::redis::ttl_millis::TtlMillis;
use crate::{LockError, Resource};

impl Locks {
    /// The server has granted the lock to the ask of this process.
    pub(super) fn granted(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        mut ownership: Ownership,
        now: Instant,
        after: &mut Deferred,
    ) {
        let mut on_failure = OnServerFailure::Fail;
        if let Some(request) = entry.take_request() {
            self.remove_timer(request.due);
            if request.is_waiting() {
                on_failure = OnServerFailure::Retry;
            }
            if request.late {
                ownership.acquire_in_doubt(request.ttl.get());
            }
            if request.wanted {
                ownership.others_wait(now);
            }
        }
        if self.replace_ownership(resource, entry, ownership, now, after) {
            self.serve_in_time(resource, entry, on_failure, now, after);
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
        on_failure: OnServerFailure,
        now: Instant,
        after: &mut Deferred,
    ) {
        let Some(ownership) = entry.ownership.as_ref().filter(|ownership| ownership.ends() <= now) else {
            return self.grant_next_local(resource, entry, now, after);
        };
        let (ttl, round_trip) = (ownership.ttl(), now.saturating_duration_since(ownership.counts_from()));
        self.end_ownership(resource, entry, after);
        let first = entry.first().filter(|first| TtlMillis::from(first.options().get_ttl()) == ttl.into());
        if first.is_some_and(|first| first.is_late_again() || on_failure == OnServerFailure::Fail)
            && let Some(first) = entry.pop()
        {
            after.tell(&first, AcquireResult::Failed(arrived_too_late(ttl, round_trip).into()));
        }
        self.send_request_if_needed(resource, entry, on_failure, now, after);
    }

    /// A new tenure, instead of any there was: the server would not have granted it beside another of ours (R1).
    /// `false` if it is the older one, of which we hear late: an answer may be overtaken by a message. Whoever lends it
    /// puts it on the agenda.
    pub(super) fn replace_ownership(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        ownership: Ownership,
        now: Instant,
        after: &mut Deferred,
    ) -> bool {
        if entry.ownership.as_ref().is_some_and(|present| ownership.is_older_than(present)) {
            self.push_for(&ownership, resource, Step::Release, CallKind::LetGo);
            self.cancel_unacknowledged(resource, &ownership);
            return false;
        }
        if let Some(before) = entry.ownership.take() {
            self.remove_timer(before.due);
            self.cancel_unacknowledged(resource, &before);
            if let Some(holder) = &before.holder {
                after.lose(holder, now);
            }
            after.drop_later(before);
        }
        entry.ownership = Some(ownership);
        true
    }

    /// Gives a tenure that nobody holds to the first who waits here. If nobody does it ends.
    pub(super) fn grant_next_local(&self, resource: &Resource, entry: &mut Entry, now: Instant, after: &mut Deferred) {
        if self.grant_next_before(resource, entry, None, now, after) {
            return;
        }
        self.end_ownership(resource, entry, after);
    }

    /// Gives a tenure that nobody holds to the first who waits here, or to the first of those who stood before an end of
    /// the line. `false` if none of them is there: one who is leaving just now stands in the line still.
    pub(super) fn grant_next_before(
        &self,
        resource: &Resource,
        entry: &mut Entry,
        before: Option<QueueEnd>,
        now: Instant,
        after: &mut Deferred,
    ) -> bool {
        let epoch = self.clocks.epoch();
        while let Some(waiter) = entry.first_before(before).map(Arc::clone) {
            let Some(ownership) = &mut entry.ownership else { return true };
            if now >= ownership.ends() {
                self.end_ownership(resource, entry, after);
                self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
                return true;
            }
            if !ownership.is_enough_for(&waiter, now, epoch) {
                // The waiter stays in front until the server has answered.
                let lease = waiter.options().get_ttl();
                ownership.asked_in(epoch);
                self.schedule(resource, ownership, now);
                self.push_for(ownership, resource, Step::Reset { lease }, CallKind::LocalHandover);
                return true;
            }
            entry.pop();
            if let Some(ownership) = &mut entry.ownership
                && grant_lease(resource, ownership, &waiter, now, after)
            {
                self.schedule(resource, ownership, now);
                return true;
            }
        }
        false
    }

    /// A tenure ends: it was released, or its lease has ended, or nobody wants it.
    ///
    /// Its key is freed in any case. It may last for a moment longer than the lease here, and whoever waits elsewhere
    /// does not have to wait for that.
    pub(super) fn end_ownership(&self, resource: &Resource, entry: &mut Entry, after: &mut Deferred) {
        let Some(ownership) = entry.ownership.take() else { return };
        self.remove_timer(ownership.due);
        self.push_for(&ownership, resource, Step::Release, CallKind::LetGo);
        self.cancel_unacknowledged(resource, &ownership);
        after.drop_later(ownership);
    }

    /// Ends a tenure whose lease is over, without waiting for the agenda.
    pub(super) fn end_if_over(&self, resource: &Resource, entry: &mut Entry, now: Instant, after: &mut Deferred) {
        if entry.ownership.as_ref().is_some_and(|ownership| ownership.lease_ends() <= now) {
            self.end_ownership(resource, entry, after);
        }
    }

    /// The tenure is no longer ours.
    pub(super) fn lose_ownership(&self, resource: &Resource, entry: &mut Entry, now: Instant, after: &mut Deferred) {
        let Some(ownership) = entry.ownership.take() else { return };
        self.remove_timer(ownership.due);
        self.cancel_unacknowledged(resource, &ownership);
        if let Some(holder) = &ownership.holder {
            after.lose(holder, now);
        }
        after.drop_later(ownership);
        self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
    }

    /// The lease that the next turn needed has been asked for.
    pub(super) fn turn_answered(&self, command: &Command, outcome: Reply) {
        let Command { resource, token, step } = command;
        let Step::Reset { lease } = *step else { return };
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let Some((entry, after)) = shard.find(resource) else { return };
        let Some(ownership) = entry.ownership_of(*token).filter(|ownership| ownership.holder.is_none()) else { return };
        match outcome {
            Reply::Answered { answer, sent } => match flag(&answer) {
                Ok(Some(others_wait)) => {
                    ownership.renewed(sent, lease);
                    ownership.set_fresh(true);
                    if others_wait {
                        ownership.others_wait(sent);
                    }
                    self.serve_in_time(resource, entry, OnServerFailure::Retry, now, after);
                }
                Ok(None) => self.lose_ownership(resource, entry, now, after),
                Err(_) => {
                    self.end_ownership(resource, entry, after);
                    self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
                }
            },
            // Whether it is ours still is not known. Those who wait go on waiting, for another.
            Reply::Refused(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => {
                self.end_ownership(resource, entry, after);
                self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
            }
        }
        self.clean_up_entry(resource, &mut shard);
    }

    /// Something is due for a tenure: its end, or a renewal.
    pub(super) fn ownership_due(&self, resource: &Resource, mut shard: Shard<'_>, now: Instant) {
        let Some((entry, after)) = shard.find(resource) else { return };
        let Some(ownership) = &mut entry.ownership else { return };
        if ownership.lease_ends() <= now {
            // The lease has seen it by the same clock, without being told.
            self.end_ownership(resource, entry, after);
            self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
        } else {
            self.renew_if_due(resource, ownership, now);
            self.schedule(resource, ownership, now);
        }
        self.clean_up_entry(resource, &mut shard);
    }

    /// Puts the next thing to do for a tenure on the agenda, instead of what was there.
    pub(super) fn schedule(&self, resource: &Resource, ownership: &mut Ownership, now: Instant) {
        let at = next_step(ownership, now);
        if ownership.due.is_some_and(|due| due.is_at(at)) {
            return;
        }
        self.remove_timer(ownership.due.take());
        ownership.due = Some(self.timers.add(at, TimerEvent::Lock(self.table.hash(resource))));
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
pub(super) fn grant_lease(
    resource: &Resource,
    ownership: &mut Ownership,
    waiter: &Arc<AcquireSlot>,
    now: Instant,
    after: &mut Deferred,
) -> bool {
    // One that was granted just now counts from where its tenure does.
    let from = now.min(ownership.ends());
    let lease = RedisLease::new(
        resource.clone(),
        ownership.fencing_token(),
        from,
        ownership.ends().saturating_duration_since(from),
        *waiter.options(),
        Arc::clone(waiter.backend()),
    );
    let there = after.answer(waiter, AcquireResult::Granted(Arc::clone(&lease))).is_ok();
    if there {
        ownership.set_fresh(false);
        ownership.holder = Some(lease);
    }
    there
}
