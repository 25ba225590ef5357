//! From the server's grant to a lease, and from one lease to the next.

use std::time::Duration;

use super::action::AcquireResult;
use super::command::{CallKind, OnServerFailure, Step, Unacknowledged};
use super::context::Context;
use super::host::{Host, Waiter};
use super::lock::{Lock, State};
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::reply::Reply;
use super::ttl_millis::TtlMillis;
use super::wait_queue::Arrival;
use crate::LockError;

impl<H: Host> Lock<H> {
    /// The server has granted the lock to the request of this process.
    pub(super) fn granted(&mut self, mut ownership: Ownership<H>, cx: &mut Context<'_, H>) {
        let mut on_failure = OnServerFailure::Fail;
        if let Some(request) = self.take_request() {
            if request.is_waiting() {
                on_failure = OnServerFailure::Retry;
            }
            if request.in_doubt {
                ownership.acquire_in_doubt(request.ttl.get());
            }
            if request.wanted {
                ownership.others_wait(cx.now);
            }
        }
        if self.replace_ownership(ownership, cx) {
            self.grant_in_time(on_failure, cx);
        }
    }

    /// Grants the first waiter a lease that the server has just granted, unless that was over before the grant arrived:
    /// because it is shorter than a round trip takes, or because the server or this process stood still.
    ///
    /// To ask again at once is no remedy for the former, and would go on for as long as the caller waits. So a caller whose
    /// lease was asked for when the lock was not known to be held is told. One that waits already is served once more, and
    /// is told the next time.
    fn grant_in_time(&mut self, on_failure: OnServerFailure, cx: &mut Context<'_, H>) {
        let Some(ownership) = self.owned().filter(|ownership| ownership.ends() <= cx.now) else {
            if !self.grant_next(None, true, cx) {
                self.end_ownership(cx);
            }
            return;
        };
        let (ttl, round_trip) = (ownership.ttl(), cx.now.saturating_duration_since(ownership.counts_from()));
        self.end_ownership(cx);
        cx.on_failure = on_failure;
        let asked_for_it =
            self.waiters.first().is_some_and(|first| TtlMillis::from(first.options().configured_ttl()) == ttl.into());
        if asked_for_it
            && (self.waiters.is_first_late_again() || on_failure == OnServerFailure::Fail)
            && let Some(first) = self.waiters.pop()
        {
            cx.actions.fail(first, arrived_too_late(ttl, round_trip));
        }
    }

    /// A new ownership, instead of any there was: the server would not have granted it beside another of ours (R1). `false`
    /// if it is the older one, of which we hear late: the notification of a grant can overtake the reply to an acquire.
    pub(super) fn replace_ownership(&mut self, mut ownership: Ownership<H>, cx: &mut Context<'_, H>) -> bool {
        if self.owned().is_some_and(|present| ownership.is_older_than(present)) {
            Self::let_go(ownership, cx);
            return false;
        }
        self.lose_ownership(cx);
        if let Some(request) = self.take_request() {
            ownership.keep_request(request);
        }
        self.state = State::Owned(ownership);
        true
    }

    /// Grants a lock that is owned, and not held, to the first waiter; or to the first of those that came before a
    /// time. `is_fresh`: the server was asked for its lease just now. `false` if there is no such waiter: the lock is as
    /// it was.
    pub(super) fn grant_next(&mut self, before: Option<Arrival>, is_fresh: bool, cx: &mut Context<'_, H>) -> bool {
        let epoch = cx.host.epoch();
        while let Some(waiter) = self.waiters.first_before(before) {
            let State::Owned(ownership) = &mut self.state else { return true };
            if cx.now >= ownership.ends() {
                self.end_ownership(cx);
                return true;
            }
            if waiter.is_gone() {
                // Its future is being dropped, and leaves in a moment.
                self.waiters.pop();
                continue;
            }
            if !ownership.is_enough_for(waiter, is_fresh, cx.now, epoch) {
                // The waiter stays the first until the server has replied.
                let lease = waiter.options().configured_ttl();
                ownership.asked_in(epoch);
                let token = ownership.token(cx.host.inbox());
                cx.actions.call(token, Step::Reset { lease, floor: None }, CallKind::LocalHandover);
                return true;
            }
            let lease = ownership.grant(waiter, cx);
            if let Some(waiter) = self.waiters.pop() {
                cx.actions.answer(waiter, AcquireResult::Granted(lease));
            }
            return true;
        }
        false
    }

    /// The lease that the next holder needs has been asked for.
    pub(super) fn handover_replied(
        &mut self,
        token: OwnerToken,
        lease: Duration,
        reply: &Reply<Option<bool>>,
        cx: &mut Context<'_, H>,
    ) {
        let Some(ownership) = self.ownership_of(token).filter(|ownership| ownership.holder.is_none()) else { return };
        match *reply {
            Reply::Done { result: Some(others_wait), sent } => {
                ownership.renewed(sent, lease);
                if others_wait {
                    ownership.others_wait(sent);
                }
                self.grant_in_time(OnServerFailure::Retry, cx);
            }
            Reply::Done { result: None, .. } => self.lose_ownership(cx),
            // It is not known whether the lock is still ours. The callers that wait go on waiting, for another ownership.
            Reply::Refused(_) | Reply::Garbled(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => {
                self.end_ownership(cx);
            }
        }
    }

    /// An ownership ends: it is released, its lease is over, or no caller wants it.
    ///
    /// Its key is freed in any case. It may last for a moment longer than the lease here, and waiters of other processes
    /// need not wait for that.
    pub(super) fn end_ownership(&mut self, cx: &mut Context<'_, H>) {
        if let Some(ownership) = self.take_ownership() {
            Self::let_go(ownership, cx);
        }
    }

    /// Releases an ownership on the server. No caller waits for the reply.
    pub(super) fn let_go(ownership: Ownership<H>, cx: &mut Context<'_, H>) {
        Self::free(ownership, CallKind::LetGo, cx);
    }

    /// Releases an ownership on the server, with a call of this kind.
    pub(super) fn free(ownership: Ownership<H>, kind: CallKind<H>, cx: &mut Context<'_, H>) {
        cx.actions.call(ownership.token(cx.host.inbox()), Step::Release { keep: None }, kind);
        Self::cancel_late_acquire(&ownership, cx);
        cx.actions.drop_later(ownership);
    }

    /// Ends an ownership whose lease is over, without waiting for the deadline.
    pub(super) fn end_if_over(&mut self, cx: &mut Context<'_, H>) {
        if self.owned().is_some_and(|ownership| ownership.lease_ends() <= cx.now) {
            self.end_ownership(cx);
        }
    }

    /// The lock is no longer ours, as the server said: in so many words, or by granting it anew.
    pub(super) fn lose_ownership(&mut self, cx: &mut Context<'_, H>) {
        let Some(ownership) = self.take_ownership() else { return };
        Self::cancel_late_acquire(&ownership, cx);
        if let Some(holder) = &ownership.holder {
            cx.actions.lose(holder, cx.now);
        }
        cx.actions.drop_later(ownership);
    }

    /// An ownership has ended. An acquire of its token that may run yet is cancelled for as long as it would matter (R4).
    pub(super) fn cancel_late_acquire(ownership: &Ownership<H>, cx: &mut Context<'_, H>) {
        if let Some(lease) = ownership.late_acquire() {
            let token = ownership.token(cx.host.inbox());
            cx.actions.cancel(token, Step::Cancel { keep: None }, lease.into(), Unacknowledged::Several);
        }
    }
}

impl<H: Host> Ownership<H> {
    /// Makes a caller the holder.
    pub(super) fn grant(&mut self, waiter: &H::Waiter, cx: &Context<'_, H>) -> H::Lease {
        // A lease that was granted just now counts from where its ownership does.
        let from = cx.now.min(self.ends());
        let length = self.ends().saturating_duration_since(from);
        let lease = waiter.lease(cx.resource, self.fencing_token(), from, length);
        self.holder = Some(lease.clone());
        lease
    }
}

/// The error of a caller whose lease was over before the server's grant arrived.
pub(super) fn arrived_too_late(ttl: Duration, round_trip: Duration) -> LockError {
    LockError::unavailable(format!(
        "the lease of {ttl:?} was over before the server's grant arrived (round trip: {} ms): use a longer ttl",
        round_trip.as_millis()
    ))
}
