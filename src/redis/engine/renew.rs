//! Keeping a tenure: renewals, and looks after a connection broke.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

use super::entry::{Entry, OnServerFailure};
use super::ownership::Ownership;
use super::table::Shard;
use super::{CallKind, Command, Locks, Step, minus_clock_drift};
use crate::Resource;
use crate::backend::Lease;
use crate::redis::connection::Reply;
use crate::redis::lease::RedisLease;
use crate::redis::protocol::flag;

/// Renewals are put together: a provider that holds many locks renews those that are due at about the same time in
/// the same pipelines. A lease is renewed earlier by this part of it at most, and by no more than this time: what is due
/// at once stands before whatever else the server is asked, and has its place in memory until it is answered.
const TOGETHER: u32 = 100;
const LONGEST_TOGETHER: Duration = Duration::from_millis(10);

/// How soon a renewal that did not get through is tried again, as a part of the lease, and within which bounds.
const TRY_AGAIN: u32 = 12;
const SOONEST: Duration = Duration::from_millis(2);
const LATEST: Duration = Duration::from_secs(1);

/// When a tenure has to be looked at next: at its end, or when a third of its lease is over.
pub(super) fn next_step(ownership: &Ownership, now: Instant) -> Instant {
    let end = ownership.lease_ends();
    let Some(holder) = &ownership.holder else { return end };
    let Some(ttl) = holder.renewal_once_taken().filter(|_| !ownership.is_renewing()) else { return end };
    let limit = holder.state().limit();
    if limit.is_some_and(|limit| limit <= ownership.ends()) {
        return end; // No renewal carries it further.
    }
    let due = renewal_due(ownership, ttl);
    // Due already: not renewed because nobody came for it yet, or because it did not get through.
    let due = if due > now { due } else { now + (ttl / TRY_AGAIN).clamp(SOONEST, LATEST) };
    due.min(end)
}

/// The time at which two thirds of the lease are left, or a little before. An extension to a longer lease puts it off.
fn renewal_due(ownership: &Ownership, ttl: Duration) -> Instant {
    together(ownership.ends().checked_sub(ownership.length(ttl) / 3 * 2).unwrap_or(ownership.ends()), ttl)
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
    pub(super) fn renew_if_due(&self, resource: &Resource, ownership: &mut Ownership, now: Instant) {
        let Some(holder) = &ownership.holder else { return };
        let Some(ttl) = holder.renewal() else { return };
        if ownership.is_renewing() || ownership.is_extending() || now < renewal_due(ownership, ttl) {
            return;
        }
        let left = holder.state().limit().map(|limit| limit.saturating_duration_since(now));
        let lease = left.map_or(ttl, |left| left.min(ttl));
        if now + minus_clock_drift(lease) <= ownership.ends() {
            return;
        }
        ownership.set_renewing(true);
        self.push_for(ownership, resource, Step::Renew { lease }, CallKind::Renew);
    }

    pub(super) fn renew_answered(&self, command: &Command, outcome: Reply) {
        let Command { resource, token, step } = command;
        let Step::Renew { lease } = *step else { return };
        let mut shard = self.shard(resource);
        let now = Instant::now();
        let Some((entry, after)) = shard.find(resource) else { return };
        let Some(ownership) = entry.ownership_of(*token) else { return };
        ownership.set_renewing(false);
        if let Reply::Answered { answer, sent } = outcome {
            match flag(&answer) {
                Ok(Some(others_wait)) => {
                    // The next holder's lease, if there has been a turn meanwhile, profits as well.
                    // What an extension has asked for since counts, also if it is shorter (R2).
                    let minus_clock_drift = ownership.minus_clock_drift(lease);
                    let newest = !ownership.is_extending() && sent >= ownership.counts_from();
                    if newest && sent + minus_clock_drift > ownership.ends() {
                        ownership.renewed(sent, lease);
                        let lost = |holder: &Arc<RedisLease>| !after.renew(holder, now, sent, minus_clock_drift);
                        if ownership.holder.as_ref().is_some_and(lost) {
                            return self.end_lost(resource, &mut shard, now);
                        }
                    }
                    if others_wait {
                        ownership.others_wait(now);
                    }
                }
                // Only "not the owner" is a loss before the time.
                Ok(None) => {
                    self.lose_ownership(resource, entry, now, after);
                    return self.clean_up_entry(resource, &mut shard);
                }
                Err(_) => {}
            }
        }
        // One that did not get through is tried again until the lease ends.
        self.schedule(resource, ownership, now);
    }

    /// The lease was over by our clock before the answer came that it is renewed, and stays so. Nobody is to wait for it:
    /// its guard may live on.
    pub(super) fn end_lost(&self, resource: &Resource, shard: &mut Shard<'_>, now: Instant) {
        let Some((entry, after)) = shard.find(resource) else { return };
        self.end_ownership(resource, entry, after);
        self.send_request_if_needed(resource, entry, OnServerFailure::Retry, now, after);
        self.clean_up_entry(resource, shard);
    }

    /// After the connection broke: is it still ours?
    pub(super) fn check_ownership(&self, resource: &Resource, entry: &mut Entry, now: Instant) {
        let Some(ownership) = &mut entry.ownership else { return };
        let Some(holder) = &ownership.holder else { return };
        // A renewal says it too, and gains time; but it must not undo an extension, nor pass a limit.
        let renewable = holder.state().limit().is_none() && !ownership.is_extending() && !ownership.is_renewing();
        match holder.renewal().filter(|ttl| renewable && now + minus_clock_drift(*ttl) > ownership.ends()) {
            Some(lease) => {
                ownership.set_renewing(true);
                self.push_for(ownership, resource, Step::Renew { lease }, CallKind::Renew);
            }
            None => self.push_for(ownership, resource, Step::Check, CallKind::Check),
        }
    }

    pub(super) fn look_answered(&self, command: &Command, outcome: &Reply) {
        let Command { resource, token, .. } = command;
        let mut shard = self.shard(resource);
        let Some((entry, after)) = shard.find(resource) else { return };
        if entry.ownership_of(*token).is_none() {
            return;
        }
        if let Reply::Answered { answer, .. } = outcome
            && matches!(flag(answer), Ok(None))
        {
            self.lose_ownership(resource, entry, Instant::now(), after);
            self.clean_up_entry(resource, &mut shard);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::task::{Context, Poll, Waker};

    use ::redis::Value;

    use super::*;
    use crate::LockOptions;
    use crate::redis::RedisLockOptions;
    use crate::redis::acquire_slot::{AcquireResult, AcquireSlot};
    use crate::redis::backend::Backend;
    use crate::redis::engine::WaiterAdmission;
    use crate::redis::protocol::Joining;

    const TTL: Duration = Duration::from_secs(3);

    /// A holder, as the server granted it just now.
    fn held(backend: &Arc<Backend>, resource: &Resource) -> (Arc<RedisLease>, Command) {
        let locks = backend.locks();
        let waiter = AcquireSlot::new(LockOptions::default().ttl(TTL), Arc::clone(backend));
        locks.join(resource, &waiter, WaiterAdmission::New).unwrap();
        let token = locks.shard(resource).get(resource).and_then(Entry::request).unwrap().token;
        let step = Step::Acquire { lease: TTL, joining: Joining::Queue { deadline: None } };
        let acquire = Command { resource: resource.clone(), token, step };
        locks.request_answered(&acquire, Reply::Answered { answer: Value::Int(1_000), sent: Instant::now() });
        let Poll::Ready(AcquireResult::Granted(lease)) = waiter.poll(&Context::from_waker(Waker::noop())) else {
            panic!("it is granted")
        };
        assert!(lease.take());
        (lease, Command { step: Step::Renew { lease: TTL }, ..acquire })
    }

    /// The answer to a renewal comes when the lease is over by our clock: the server keeps the lock for one who is told that
    /// it is lost, and it is let go, so that others have it while that guard lives.
    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_over_when_its_renewal_is_answered_is_let_go() {
        let backend = Backend::new(RedisLockOptions::default().settings().unwrap()).unwrap();
        let resource = Resource::try_from("account-1").unwrap();
        for over in [false, true] {
            let (lease, renew) = held(&backend, &resource);
            tokio::time::advance(TTL / 2).await;
            let sent = Instant::now();
            tokio::time::advance(if over { TTL / 2 } else { TTL / 4 }).await;
            backend.locks().renew_answered(&renew, Reply::Answered { answer: Value::Int(1), sent });
            let ownership =
                backend.locks().shard(&resource).get(&resource).is_some_and(|entry| entry.ownership.is_some());
            assert_eq!((ownership, lease.state().is_held()), (!over, !over), "over: {over}");
            drop(lease.release());
        }
        assert_eq!(backend.locks().len(), 0);
    }
}
