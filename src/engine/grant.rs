//! From the server's grant to a lease, and from one lease to the next.

use std::time::Duration;

use super::action::AcquireResult;
use super::command::{CallKind, OnServerFailure, Step, Unacknowledged};
use super::context::Context;
use super::host::{Host, Lease, Waiter};
use super::lock::Lock;
use super::minus_clock_drift;
use super::owner_token::{OwnerToken, Secret};
use super::ownership::Ownership;
use super::reply::Reply;
use super::request::at_least;
use super::ttl_millis::TtlMillis;
use super::wait_queue::Arrival;
use crate::{LockError, LockMode};

impl<H: Host> Lock<H> {
    /// The server has granted the lock to a request of this process.
    pub(super) fn granted(&mut self, mut ownership: Ownership<H>, permit: Option<u32>, cx: &mut Context<'_, H>) {
        let (mut on_failure, mut at_least) = (OnServerFailure::Fail, None);
        let secret = ownership.secret();
        if let Some(request) = self.take_request(ownership.token(cx.host.inbox())) {
            if request.is_waiting() {
                on_failure = OnServerFailure::Retry;
            }
            if request.in_doubt {
                ownership.acquire_in_doubt(request.lease().get());
            }
            at_least = request.at_least;
            if request.wanted {
                ownership.others_wait(cx.now);
            }
        }
        if self.add_ownership(ownership, cx) {
            self.grant_in_time(secret, (at_least, permit), on_failure, cx);
        }
    }

    /// Grants the first waiter a lease that the server has just granted, unless that was over before the grant arrived:
    /// because it is shorter than a round trip takes, or because the server or this process stood still.
    ///
    /// To ask again at once is no remedy for the former, and would go on for as long as the caller waits. So a caller whose
    /// lease was asked for when the lock was not known to be held is told. One that waits already is served once more, and
    /// is told the next time.
    fn grant_in_time(
        &mut self,
        secret: Secret,
        (at_least, permit): (Option<TtlMillis>, Option<u32>),
        on_failure: OnServerFailure,
        cx: &mut Context<'_, H>,
    ) {
        let Some(ownership) = self.ownership(secret).filter(|ownership| ownership.ends() <= cx.now) else {
            if !self.grant_next(secret, Grantees { before: None, is_fresh: true, at_least, permit }, cx) {
                self.end_ownership(secret, cx);
            }
            return;
        };
        let (ttl, round_trip) = (ownership.ttl(), cx.now.saturating_duration_since(ownership.counts_from()));
        let mode = ownership.mode();
        self.end_ownership(secret, cx);
        cx.on_failure = on_failure;
        let asked_for_it = self.waiters.first().map(Waiter::options).is_some_and(|options| {
            options.configured_mode() == mode && TtlMillis::from(options.configured_ttl()) == ttl.into()
        });
        if asked_for_it
            && (self.waiters.is_first_late_again() || on_failure == OnServerFailure::Fail)
            && let Some(first) = self.waiters.pop()
        {
            cx.actions.fail(first, arrived_too_late(ttl, round_trip));
        }
    }

    /// A new ownership, instead of those with which it cannot be held: the server would not have granted it beside them
    /// (R1). `false` if one of those is the newer one, so that we hear of this one late: the notification of a grant can
    /// overtake the reply to an acquire.
    pub(super) fn add_ownership(&mut self, ownership: Ownership<H>, cx: &mut Context<'_, H>) -> bool {
        if self.ownerships.iter().any(|other| !ownership.can_be_held_beside(other) && ownership.is_older_than(other)) {
            Self::let_go(ownership, cx);
            return false;
        }
        for secret in self.secrets(|other| !ownership.can_be_held_beside(other)) {
            self.lose_ownership(secret, cx);
        }
        self.ownerships.push(ownership);
        true
    }

    /// Grants a lock that is owned to the first waiter, if it wants it in this mode; a shared one to all who follow and want
    /// the same. `false` if there is no such waiter: the lock is as it was.
    pub(super) fn grant_next(&mut self, secret: Secret, to: Grantees, cx: &mut Context<'_, H>) -> bool {
        let epoch = cx.host.epoch();
        let Grantees { before, is_fresh, at_least: kept, permit } = to;
        let mut granted = false;
        while let Some(waiter) = self.waiters.first_before(before) {
            let Some(ownership) = self.ownerships.iter_mut().find(|ownership| ownership.secret() == secret) else {
                return true;
            };
            if waiter.options().configured_mode() != ownership.mode() {
                break;
            }
            if cx.now >= ownership.ends() {
                self.end_ownership(secret, cx);
                return true;
            }
            if waiter.is_gone() {
                // Its future is being dropped, and leaves in a moment.
                self.waiters.pop();
                continue;
            }
            if at_least(waiter.options()) > kept || !ownership.is_enough_for(waiter, is_fresh, cx.now, epoch) {
                // The waiter stays the first until the server has replied.
                ownership.ask_for(waiter, permit, cx);
                return true;
            }
            let lease = ownership.grant(waiter, permit, cx);
            let is_shared = ownership.mode() == LockMode::Shared;
            if let Some(waiter) = self.waiters.pop() {
                cx.actions.answer(waiter, AcquireResult::Granted(lease));
            }
            granted = true;
            if !is_shared {
                break;
            }
        }
        granted
    }

    /// The lease that the next holder needs has been asked for.
    pub(super) fn handover_replied(
        &mut self,
        token: OwnerToken,
        (lease, floor): (Duration, Option<TtlMillis>),
        permit: Option<u32>,
        reply: &Reply<Option<bool>>,
        cx: &mut Context<'_, H>,
    ) {
        let secret = token.secret();
        let Some(ownership) = self.ownership_mut(secret).filter(|ownership| ownership.is_handing_over()) else {
            return;
        };
        ownership.handover_ended();
        match *reply {
            Reply::Done { result: Some(others_wait), sent } => {
                ownership.renewed_for_next(sent, lease);
                if others_wait {
                    ownership.others_wait(sent);
                } else {
                    ownership.nobody_waits(sent);
                }
                if !ownership.is_held() {
                    self.grant_in_time(secret, (floor, permit), OnServerFailure::Retry, cx);
                } else if !others_wait {
                    self.more_readers(secret, lease.into(), cx);
                }
            }
            Reply::Done { result: None, .. } => self.lose_ownership(secret, cx),
            // Those who hold it go on, and those who wait ask for themselves.
            _ if ownership.is_held() => ownership.others_wait(cx.now),
            // It is not known whether the lock is still ours. The callers that wait go on waiting, for another ownership.
            Reply::Refused(_) | Reply::Garbled(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => {
                self.end_ownership(secret, cx);
            }
        }
    }

    /// The server was asked for a lease for one more reader, and no other waits.
    fn more_readers(&mut self, secret: Secret, lease: TtlMillis, cx: &mut Context<'_, H>) {
        let (now, epoch, kept) = (cx.now, cx.host.epoch(), Some(lease));
        let (Some(first), Some(ownership)) = (self.waiters.first(), self.ownership(secret)) else { return };
        if first.options().configured_mode() != LockMode::Shared {
            return;
        }
        if at_least(first.options()) <= kept && ownership.is_enough_for(first, true, now, epoch) {
            self.grant_next(secret, Grantees { before: None, is_fresh: true, at_least: kept, permit: None }, cx);
        } else if let Some(ownership) = self.ownership_mut(secret) {
            // It would not be enough the next time either: the reader asks for itself.
            ownership.others_wait(now);
        }
    }

    /// A reader joins those of this process, if none waits before it and the server need not be asked. `false` if it has to
    /// wait.
    pub(super) fn join_readers(&mut self, waiter: &H::Waiter, cx: &mut Context<'_, H>) -> bool {
        let (epoch, kept) = (cx.host.epoch(), waiter.options().configured_at_least());
        let joined = self.ownerships.iter_mut().rev().find(|ownership| {
            ownership.mode() == LockMode::Shared
                && ownership.is_held()
                && !ownership.is_handing_over()
                && ownership.may_join(cx.now) == Some(true)
                && ownership.is_enough_for(waiter, false, cx.now, epoch)
                && (kept.is_zero() || ownership.ends() >= cx.now + minus_clock_drift(kept))
        });
        let Some(ownership) = joined else { return false };
        let lease = ownership.grant(waiter, None, cx);
        cx.actions.answer(waiter.clone(), AcquireResult::Granted(lease));
        true
    }

    /// Lets the first waiters join the readers of this process, or asks the server whether they may: a reader may not pass
    /// those who wait in other processes.
    pub(super) fn let_readers_join(&mut self, cx: &mut Context<'_, H>) {
        let epoch = cx.host.epoch();
        while let Some(first) =
            self.waiters.first().filter(|first| first.options().configured_mode() == LockMode::Shared)
        {
            let first = first.clone();
            if first.is_gone() {
                self.waiters.pop();
                cx.actions.drop_waiter(first);
                continue;
            }
            if !self.join_readers(&first, cx) {
                let may_be_joined = |ownership: &&mut Ownership<H>| {
                    ownership.mode() == LockMode::Shared
                        && ownership.is_held()
                        && cx.now < ownership.ends()
                        && ownership.is_of_epoch(epoch)
                        && ownership.may_join(cx.now) != Some(false)
                };
                if let Some(ownership) = self.ownerships.iter_mut().rev().find(may_be_joined)
                    && !ownership.is_handing_over()
                {
                    ownership.ask_for(&first, None, cx);
                }
                return cx.actions.drop_waiter(first);
            }
            self.waiters.pop();
            cx.actions.drop_waiter(first);
        }
    }

    /// An ownership ends: it is released, its lease is over, or no caller wants it.
    ///
    /// Its key is freed in any case. It may last for a moment longer than the lease here, and waiters of other processes
    /// need not wait for that.
    pub(super) fn end_ownership(&mut self, secret: Secret, cx: &mut Context<'_, H>) {
        if let Some(ownership) = self.take_ownership(secret) {
            Self::let_go(ownership, cx);
        }
    }

    /// Releases an ownership on the server. No caller waits for the reply.
    pub(super) fn let_go(ownership: Ownership<H>, cx: &mut Context<'_, H>) {
        Self::free(ownership, CallKind::LetGo, cx);
    }

    /// Releases an ownership on the server, with a call of this kind.
    pub(super) fn free(ownership: Ownership<H>, kind: CallKind<H>, cx: &mut Context<'_, H>) {
        let keep = ownership.kept_for(cx.now).map(TtlMillis::from);
        cx.actions.call(ownership.token(cx.host.inbox()), Step::Release { keep }, kind);
        // The name stays taken also if this cancellation runs, and the release does not.
        Self::cancel_late_acquire(&ownership, keep, cx);
        cx.actions.drop_later(ownership);
    }

    /// Ends what is owned and whose lease is over, without waiting for the deadline.
    pub(super) fn end_what_is_over(&mut self, cx: &mut Context<'_, H>) {
        for secret in self.secrets(|ownership| ownership.lease_ends() <= cx.now) {
            self.end_leases_that_are_over(secret, cx);
        }
    }

    /// Ends the leases of an ownership that are over, and with the last of them the ownership.
    pub(super) fn end_leases_that_are_over(&mut self, secret: Secret, cx: &mut Context<'_, H>) {
        let Some(ownership) = self.ownership_mut(secret) else { return };
        if ownership.mode() == LockMode::Shared && cx.now < ownership.ends() {
            // Each has seen that by the same clock, without being told.
            let over = ownership.holders.take_all(|holder| !holder.state().is_held());
            cx.actions.drop_leases(over);
            if ownership.is_held() {
                return;
            }
        }
        self.end_ownership(secret, cx);
    }

    /// The lock is no longer ours, as the server said: in so many words, or by granting it anew.
    pub(super) fn lose_ownership(&mut self, secret: Secret, cx: &mut Context<'_, H>) {
        let Some(ownership) = self.take_ownership(secret) else { return };
        Self::cancel_late_acquire(&ownership, None, cx);
        for holder in ownership.holders.iter() {
            cx.actions.lose(holder, cx.now);
        }
        cx.actions.drop_later(ownership);
    }

    /// An ownership has ended. An acquire of its token that may run yet is cancelled for as long as it would matter (R4).
    pub(super) fn cancel_late_acquire(ownership: &Ownership<H>, keep: Option<TtlMillis>, cx: &mut Context<'_, H>) {
        if let Some(lease) = ownership.late_acquire() {
            let token = ownership.token(cx.host.inbox());
            cx.actions.cancel(token, Step::Cancel { keep }, lease.into(), Unacknowledged::Several);
        }
    }
}

/// To whom a lock is granted that is owned.
#[derive(Clone, Copy)]
pub(super) struct Grantees {
    /// Only to those who came before.
    pub(super) before: Option<Arrival>,
    /// The server was asked for the lease just now.
    pub(super) is_fresh: bool,
    /// How long the name stays taken at least, as far as the server was asked for that.
    pub(super) at_least: Option<TtlMillis>,
    pub(super) permit: Option<u32>,
}

impl<H: Host> Ownership<H> {
    /// Makes a caller a holder.
    pub(super) fn grant(&mut self, waiter: &H::Waiter, permit: Option<u32>, cx: &Context<'_, H>) -> H::Lease {
        // A lease that was granted just now counts from where its ownership does.
        let from = cx.now.min(self.ends());
        let mut length = self.ends().saturating_duration_since(from);
        if self.mode() == LockMode::Shared {
            // Readers with shorter leases share the longest.
            length = length.min(minus_clock_drift(waiter.options().configured_ttl()));
        }
        let lease = waiter.lease(cx.resource, self.fencing_token(), (from, length), permit);
        self.holders.push(lease.clone());
        lease
    }

    /// Asks the server for what the next holder needs: its lease, and, of a lock that is shared, whether others wait.
    fn ask_for(&mut self, waiter: &H::Waiter, permit: Option<u32>, cx: &mut Context<'_, H>) {
        let options = waiter.options();
        let lease = options.configured_ttl();
        self.handover_begins(cx.host.epoch());
        let floor = at_least(options);
        // The leases of those who hold it already stay as they are. With a little more than what is asked for, so that as much
        // is left when the reply arrives.
        let with_margin = |floor: TtlMillis| floor.get() + floor.get() / 50 + cx.host.response_timeout();
        let step = if self.is_held() {
            Step::Renew { lease: floor.map_or(lease, with_margin) }
        } else {
            Step::Reset { lease, floor }
        };
        cx.actions.call(self.token(cx.host.inbox()), step, CallKind::LocalHandover { permit });
    }
}

/// The error of a caller whose lease was over before the server's grant arrived.
pub(super) fn arrived_too_late(ttl: Duration, round_trip: Duration) -> LockError {
    LockError::unavailable(format!(
        "the lease of {ttl:?} was over before the server's grant arrived (round trip: {} ms): use a longer ttl",
        round_trip.as_millis()
    ))
}
