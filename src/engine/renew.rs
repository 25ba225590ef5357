//! Keeping an ownership: renewals, and checks after a connection broke.

use std::time::Duration;

use super::command::{CallKind, Step};
use super::context::Context;
use super::host::{Host, Lease};
use super::lock::Lock;
use super::minus_clock_drift;
use super::owner_token::{OwnerToken, Secret};
use super::ownership::Ownership;
use super::reply::Reply;
use crate::LockMode;

/// How soon a renewal that did not get through is tried again, as a part of the lease, and within which bounds.
const RETRY: u32 = 12;
const SOONEST_RETRY: Duration = Duration::from_millis(2);
const LATEST_RETRY: Duration = Duration::from_secs(1);

impl<H: Host> Lock<H> {
    /// The deadline of an ownership has come: the end of a lease, or a renewal.
    pub(super) fn renew_or_end(&mut self, secret: Secret, cx: &mut Context<'_, H>) {
        if self.ownership(secret).is_some_and(|ownership| ownership.lease_ends() <= cx.now) {
            // A lease has seen its end by the same clock, without being told.
            self.end_leases_that_are_over(secret, cx);
        }
        if let Some(ownership) = self.ownership_mut(secret) {
            ownership.renew(cx);
            ownership.retry_if_due(cx);
        }
    }

    pub(super) fn renew_replied(
        &mut self,
        token: OwnerToken,
        lease: Duration,
        reply: &Reply<Option<bool>>,
        cx: &mut Context<'_, H>,
    ) {
        let secret = token.secret();
        let Some(ownership) = self.ownership_mut(secret) else { return };
        ownership.set_renewing(false);
        match *reply {
            Reply::Done { result: Some(others_wait), sent } => {
                if others_wait {
                    ownership.others_wait(cx.now);
                } else if ownership.mode() == LockMode::Shared {
                    ownership.nobody_waits(sent);
                }
                // If the lock was handed over meanwhile, the next holder's lease is the one that is renewed. What an
                // extension has asked for since counts, also if it is shorter (R2).
                if ownership.is_extending() || sent < ownership.counts_from() {
                    return ownership.retry_if_due(cx);
                }
                let ends = sent + ownership.minus_clock_drift(lease);
                let is_longer = ends > ownership.ends();
                if is_longer {
                    ownership.renewed(sent, lease);
                }
                // Readers who share it have ends of their own, so that one may be renewed though the last is not.
                if is_longer || ownership.mode() == LockMode::Shared {
                    let (mode, length) = (ownership.mode(), ownership.ends().saturating_duration_since(sent));
                    let lost = ownership.holders.take_all(|holder| {
                        let is_renewed = mode != LockMode::Shared || holder.renewal().is_some();
                        is_renewed && !cx.actions.renew(holder, cx.now, sent, length)
                    });
                    cx.actions.drop_leases(lost);
                    if !ownership.is_held() && !ownership.is_handing_over() {
                        // The lease was over by our clock before the reply came, and stays so. No other caller need wait for
                        // it, though its guard may live on.
                        return self.end_ownership(secret, cx);
                    }
                }
                ownership.retry_if_due(cx);
            }
            // Only "not the owner" is a loss before the time.
            Reply::Done { result: None, .. } => self.lose_ownership(secret, cx),
            // A renewal that did not get through is tried again until the lease ends.
            Reply::Refused(_) | Reply::Garbled(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => {
                ownership.retry_if_due(cx);
            }
        }
    }

    pub(super) fn check_replied(&mut self, token: OwnerToken, reply: &Reply<Option<bool>>, cx: &mut Context<'_, H>) {
        if matches!(reply, Reply::Done { result: None, .. }) {
            self.lose_ownership(token.secret(), cx);
        }
    }
}

impl<H: Host> Ownership<H> {
    /// There is a new connection: is the lock still ours?
    pub(super) fn check(&mut self, cx: &mut Context<'_, H>) {
        if !self.is_held() {
            return;
        }
        // A renewal says so too, and gains time; but it must not undo an extension, nor pass a limit.
        let has_limit = self.holders.iter().any(|holder| holder.state().limit().is_some());
        let renewable = !has_limit && !self.is_extending() && !self.is_renewing();
        let renewal = self.renewal_of_taken().filter(|_| renewable);
        match renewal.filter(|ttl| cx.now + minus_clock_drift(*ttl) > self.ends()) {
            Some(lease) => self.send_renewal(lease, cx),
            None => cx.actions.call(self.token(cx.host.inbox()), Step::Check, CallKind::Check),
        }
    }

    /// Renews the lease if a third of it is over, and a holder wants that.
    fn renew(&mut self, cx: &mut Context<'_, H>) {
        let Some(ttl) = self.renewal_of_taken() else { return };
        let is_due = self.renewal_due(ttl).is_some_and(|due| due <= cx.now);
        if self.is_renewing() || self.is_extending() || !is_due {
            return;
        }
        // No longer than a holder may hold it.
        let longest = |holder: &H::Lease| {
            let ttl = holder.renewal()?;
            let limit = holder.state().limit();
            Some(limit.map_or(ttl, |limit| limit.saturating_duration_since(cx.now).min(ttl)))
        };
        let Some(lease) = self.holders.iter().filter(|holder| holder.is_taken()).filter_map(longest).max() else {
            return;
        };
        if self.mode() == LockMode::Shared || cx.now + minus_clock_drift(lease) > self.ends() {
            self.send_renewal(lease, cx);
        }
    }

    /// The longest renewal that a holder wants whose guard has been taken up.
    fn renewal_of_taken(&self) -> Option<Duration> {
        self.holders.iter().filter(|holder| holder.is_taken()).filter_map(Lease::renewal).max()
    }

    fn send_renewal(&mut self, lease: Duration, cx: &mut Context<'_, H>) {
        self.set_renewing(true);
        cx.actions.call(self.token(cx.host.inbox()), Step::Renew { lease }, CallKind::Renew);
    }

    /// A renewal that is due, and not in flight, is tried again in a moment: its guard has not been taken up yet, or it did
    /// not get through.
    fn retry_if_due(&mut self, cx: &Context<'_, H>) {
        let Some(ttl) = self.renewal() else { return };
        if self.deadline() <= cx.now {
            self.retry_renewal_at(cx.now + (ttl / RETRY).clamp(SOONEST_RETRY, LATEST_RETRY));
        }
    }
}
