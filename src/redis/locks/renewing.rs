//! Keeping a tenure: renewals, and looks after a connection broke.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry;
use super::tenure::Tenure;
use super::{Command, Locks, Purpose, Step, worth};
use crate::Resource;
use crate::mutant::{Mutant, is};
use crate::provider::Lease;
use crate::redis::link::Outcome;
use crate::redis::script::flag;

/// Renewals are put together: a provider that holds many locks renews those that are due at about the same time in
/// the same pipelines. A lease is renewed earlier by this part of it at most, and by no more than this time: what is due
/// at once stands before whatever else the server is asked, and has its place in memory until it is answered.
const TOGETHER: u32 = 100;
const LONGEST_TOGETHER: Duration = Duration::from_millis(50);

/// How soon a renewal that did not get through is tried again, as a part of the lease, and within which bounds.
const TRY_AGAIN: u32 = 12;
const SOONEST: Duration = Duration::from_millis(2);
const LATEST: Duration = Duration::from_secs(1);

/// When a tenure has to be looked at next: at its end, or when a third of its lease is over.
pub(super) fn next_step(tenure: &Tenure, now: Instant) -> Instant {
    let end = tenure.lease_ends();
    let Some(holder) = &tenure.holder else { return end };
    if !holder.auto_renews() || tenure.renewing {
        return end;
    }
    let limit = holder.state().limit();
    if limit.is_some_and(|limit| limit <= tenure.ends()) {
        return end; // No renewal carries it further.
    }
    let ttl = holder.ttl();
    let due = renewal_due(tenure, ttl);
    // Due already: not renewed because nobody came for it yet, or because it did not get through.
    let due = if due > now { due } else { now + (ttl / TRY_AGAIN).clamp(SOONEST, LATEST) };
    due.min(end)
}

/// The time at which two thirds of the lease are left, or a little before. An extension to a longer lease puts it off.
fn renewal_due(tenure: &Tenure, ttl: Duration) -> Instant {
    together(tenure.ends().checked_sub(worth(ttl) / 3 * 2).unwrap_or(tenure.ends()), ttl)
}

/// The time just before `due` at which leases of this length are renewed: the same for all that are due soon after
/// each other.
fn together(due: Instant, ttl: Duration) -> Instant {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    let step = (ttl / TOGETHER).min(LONGEST_TOGETHER).as_nanos().max(1);
    let beyond = due.saturating_duration_since(*FIRST).as_nanos() % step;
    u64::try_from(beyond).ok().and_then(|beyond| due.checked_sub(Duration::from_nanos(beyond))).unwrap_or(due)
}

impl Locks {
    /// Renews a tenure whose lease is over by a third, if somebody holds it who wants that.
    pub(super) fn renew_if_due(&self, resource: &Resource, tenure: &mut Tenure, now: Instant) {
        let Some(holder) = tenure.holder.as_ref().filter(|holder| holder.wants_renewal()) else { return };
        let ttl = holder.ttl();
        if tenure.renewing || tenure.is_extending() || now < renewal_due(tenure, ttl) {
            return;
        }
        let left = holder.state().limit().map(|limit| limit.saturating_duration_since(now));
        let lease = left.map_or(ttl, |left| left.min(ttl));
        if now + worth(lease) <= tenure.ends() {
            return;
        }
        tenure.renewing = true;
        self.push(resource, tenure.token, Step::Renew { lease }, Purpose::Renew);
    }

    pub(super) fn renew_answered(&self, command: &Command, outcome: Outcome) {
        let Command { resource, token, step } = command;
        let Step::Renew { lease } = *step else { return };
        let mut shard = self.shard(resource);
        let Some(entry) = shard.get_mut(resource) else { return };
        let Some(tenure) = entry.tenure_of(*token) else { return };
        let answered = matches!(outcome, Outcome::Answered { .. });
        tenure.renewing = is(Mutant::RenewalStopsAfterError) && !answered;
        if let Outcome::Answered { answer, sent } = outcome {
            match flag(&answer) {
                Ok(Some(others_wait)) => {
                    // The next holder's lease, if there has been a turn meanwhile, profits as well.
                    // What an extension has asked for since counts, also if it is shorter (R2).
                    let worth = tenure.worth(lease);
                    let newest = !tenure.is_extending() && sent >= tenure.counts_from();
                    if newest && sent + worth > tenure.ends() {
                        tenure.renewed(sent, lease);
                        if let Some(holder) = &tenure.holder {
                            holder.state().renew(Instant::now(), sent, worth);
                        }
                    }
                    if others_wait {
                        tenure.others_wait(Instant::now());
                    }
                }
                // Only "not the owner" is a loss before the time.
                Ok(None) => {
                    self.lose_tenure(resource, entry);
                    return self.settle(resource, &mut shard);
                }
                Err(_) => {}
            }
        }
        if is(Mutant::RenewalErrorReleases) && !answered {
            return self.push(resource, *token, Step::Release, Purpose::Release(None));
        }
        // One that did not get through is tried again until the lease ends.
        self.schedule(resource, tenure);
    }

    /// After the connection broke: is it still ours?
    pub(super) fn check_tenure(&self, resource: &Resource, entry: &mut Entry) {
        let Some(tenure) = &mut entry.tenure else { return };
        let Some(holder) = &tenure.holder else { return };
        // A renewal says it too, and gains time; but it must not undo an extension, nor pass a limit.
        let renewable = holder.wants_renewal() && holder.state().limit().is_none() && !tenure.is_extending();
        let ttl = holder.ttl();
        if renewable && !tenure.renewing && Instant::now() + worth(ttl) > tenure.ends() {
            tenure.renewing = true;
            self.push(resource, tenure.token, Step::Renew { lease: ttl }, Purpose::Renew);
        } else {
            self.push(resource, tenure.token, Step::Look, Purpose::Look);
        }
    }

    pub(super) fn look_answered(&self, command: &Command, outcome: &Outcome) {
        let Command { resource, token, .. } = command;
        let mut shard = self.shard(resource);
        let Some(entry) = shard.get_mut(resource) else { return };
        if entry.tenure_of(*token).is_none() {
            return;
        }
        if let Outcome::Answered { answer, .. } = outcome
            && matches!(flag(answer), Ok(None))
        {
            self.lose_tenure(resource, entry);
            self.settle(resource, &mut shard);
        }
    }
}
