//! Keeping an ownership: renewals, and checks after a connection broke.

use std::time::Duration;

use super::command::{CallKind, Step};
use super::context::Context;
use super::host::{Host, Lease};
use super::lock::Lock;
use super::minus_clock_drift;
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::reply::Reply;

/// How soon a renewal that did not get through is tried again, as a part of the lease, and within which bounds.
const RETRY: u32 = 12;
const SOONEST_RETRY: Duration = Duration::from_millis(2);
const LATEST_RETRY: Duration = Duration::from_secs(1);

impl<H: Host> Lock<H> {
    /// The deadline of an ownership has come: its end, or a renewal.
    pub(super) fn renew_or_end(&mut self, cx: &mut Context<'_, H>) {
        let Some(ownership) = self.owned_mut() else { return };
        if ownership.lease_ends() <= cx.now {
            // The lease has seen that by the same clock, without being told.
            self.end_ownership(cx);
        } else {
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
        let Some(ownership) = self.ownership_of(token) else { return };
        ownership.set_renewing(false);
        match *reply {
            Reply::Done { result: Some(others_wait), sent } => {
                if others_wait {
                    ownership.others_wait(cx.now);
                }
                // If the lock was handed over meanwhile, the next holder's lease is the one that is renewed. What an
                // extension has asked for since counts, also if it is shorter (R2).
                let length = ownership.minus_clock_drift(lease);
                let newest = !ownership.is_extending() && sent >= ownership.counts_from();
                if newest && sent + length > ownership.ends() {
                    ownership.renewed(sent, lease);
                    let lost =
                        ownership.holder.as_ref().is_some_and(|held| !cx.actions.renew(held, cx.now, sent, length));
                    if lost {
                        // The lease was over by our clock before the reply came, and stays so. No other caller need wait for
                        // it, though its guard may live on.
                        return self.end_ownership(cx);
                    }
                }
                ownership.retry_if_due(cx);
            }
            // Only "not the owner" is a loss before the time.
            Reply::Done { result: None, .. } => self.lose_ownership(cx),
            // A renewal that did not get through is tried again until the lease ends.
            Reply::Refused(_) | Reply::Garbled(_) | Reply::NotSent(_) | Reply::Indeterminate { .. } => {
                ownership.retry_if_due(cx);
            }
        }
    }

    /// There is a new connection: is the lock still ours?
    pub(super) fn check_ownership(&mut self, cx: &mut Context<'_, H>) {
        let Some(ownership) = self.owned_mut() else { return };
        let Some(holder) = &ownership.holder else { return };
        // A renewal says so too, and gains time; but it must not undo an extension, nor pass a limit.
        let renewable = holder.state().limit().is_none() && !ownership.is_extending() && !ownership.is_renewing();
        let renewal = holder.renewal().filter(|_| holder.is_taken() && renewable);
        match renewal.filter(|ttl| cx.now + minus_clock_drift(*ttl) > ownership.ends()) {
            Some(lease) => ownership.send_renewal(lease, cx),
            None => cx.actions.call(ownership.token(cx.host.inbox()), Step::Check, CallKind::Check),
        }
    }

    pub(super) fn check_replied(&mut self, token: OwnerToken, reply: &Reply<Option<bool>>, cx: &mut Context<'_, H>) {
        if self.ownership_of(token).is_some() && matches!(reply, Reply::Done { result: None, .. }) {
            self.lose_ownership(cx);
        }
    }
}

impl<H: Host> Ownership<H> {
    /// Renews the lease if a third of it is over, and its holder wants that.
    fn renew(&mut self, cx: &mut Context<'_, H>) {
        let Some(holder) = &self.holder else { return };
        let Some(ttl) = holder.renewal().filter(|_| holder.is_taken()) else { return };
        if self.is_renewing() || self.is_extending() || cx.now < self.renewal_due(ttl) {
            return;
        }
        let left = holder.state().limit().map(|limit| limit.saturating_duration_since(cx.now));
        let lease = left.map_or(ttl, |left| left.min(ttl));
        if cx.now + minus_clock_drift(lease) > self.ends() {
            self.send_renewal(lease, cx);
        }
    }

    fn send_renewal(&mut self, lease: Duration, cx: &mut Context<'_, H>) {
        self.set_renewing(true);
        cx.actions.call(self.token(cx.host.inbox()), Step::Renew { lease }, CallKind::Renew);
    }

    /// A renewal that is due, and not in flight, is tried again in a moment: its guard has not been taken up yet, or it did
    /// not get through.
    fn retry_if_due(&mut self, cx: &Context<'_, H>) {
        let Some(ttl) = self.holder.as_ref().and_then(Lease::renewal) else { return };
        if self.deadline() <= cx.now {
            self.retry_renewal_at(cx.now + (ttl / RETRY).clamp(SOONEST_RETRY, LATEST_RETRY));
        }
    }
}
