//! Callers who do not wait: one question to the server each.

use super::action::AcquireResult;
use super::command::{Attempt, CallKind, Joining, Step, Unacknowledged};
use super::context::Context;
use super::grant::Grantees;
use super::grant::arrived_too_late;
use super::host::{Host, Waiter};
use super::lock::Lock;
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::reply::{Acquired, Refusal, Reply};
use super::request::{at_least, lease};
use super::wait_queue::Arrival;
use crate::{LockError, LockMode};

impl<H: Host> Lock<H> {
    /// A caller wants the lock at once or not at all.
    pub(super) fn try_now(&mut self, waiter: &H::Waiter, cx: &mut Context<'_, H>) {
        if cx.host.is_closed() {
            return cx.actions.fail(waiter.clone(), LockError::Closed);
        }
        let mode = waiter.options().configured_mode();
        // A lease of our own is as good as the server's word. Where no caller of this process holds the lock, the server is
        // asked, also if it has been asked already for the callers that wait here: whether it replies at all has to be
        // found out.
        if self.is_held_against(mode, cx.now) {
            return Self::busy(waiter.clone(), cx);
        }
        if mode == LockMode::Shared && self.waiters.is_empty() && self.join_readers(waiter, cx) {
            return;
        }
        self.end_what_is_over(cx);
        // The requests of the callers that wait are sent first.
        self.settle(cx);
        let attempt = Attempt {
            arrival: Arrival::new(cx.ticket()),
            epoch: cx.host.epoch(),
            granted_before: false,
            sent_anew: false,
        };
        match cx.host.new_token(mode) {
            Ok(token) => send(token, attempt, waiter.clone(), cx),
            Err(error) => cx.actions.fail(waiter.clone(), error),
        }
    }

    /// The server has replied to a caller who does not wait, or has not.
    ///
    /// It may have granted this caller the lock before another who waited here already. The request of that one was sent
    /// earlier; but it was granted, and the lock held and released meanwhile, and requested anew since. The lock is then
    /// granted to the caller that waited first.
    pub(super) fn attempt_replied(
        &mut self,
        token: OwnerToken,
        attempt: Attempt,
        waiter: H::Waiter,
        reply: Reply<Acquired>,
        cx: &mut Context<'_, H>,
    ) {
        let epoch = cx.host.epoch();
        let ttl = waiter.options().configured_ttl();
        // It was granted before, if this is the second reply: that is taken back in any case.
        let known = attempt.granted_before.then_some(Unacknowledged::None);
        let (error, unacknowledged, was_cut) = match reply {
            Reply::Done { result: Acquired::Granted { fence, others_wait, permit }, sent } => {
                if attempt.epoch != epoch {
                    // As for a request: the token is the same, so that the server says when its lease begins anew.
                    return send(token, Attempt { epoch, granted_before: true, ..attempt }, waiter, cx);
                }
                let ownership = Ownership::new(token, fence, (sent, epoch), ttl, others_wait);
                return self.attempt_granted(ownership, permit, attempt, waiter, cx);
            }
            Reply::Done { result: Acquired::Unfinished, .. } => {
                return send(token, Attempt { epoch, ..attempt }, waiter, cx);
            }
            Reply::Done { result: Acquired::Queued { .. } | Acquired::Busy, .. } => return Self::busy(waiter, cx),
            Reply::Refused(Refusal { error, .. }) | Reply::NotSent(error) => (error, known, false),
            // What the server did is not known.
            Reply::Garbled(error) => (error, Some(Unacknowledged::None), false),
            Reply::Indeterminate { error, was_cut } => {
                let several = attempt.granted_before;
                let doubt = if several { Unacknowledged::Several } else { Unacknowledged::One };
                (error, Some(doubt), was_cut)
            }
        };
        if let Some(unacknowledged) = unacknowledged {
            cx.actions.cancel(token, Step::Cancel { keep: None }, lease(waiter.options()), unacknowledged);
        }
        // Sent anew as a request is: once, under a token of its own, and behind the cancellation.
        if was_cut
            && !attempt.sent_anew
            && let Ok(token) = cx.host.new_token(token.mode())
        {
            return send(token, Attempt { epoch, granted_before: false, sent_anew: true, ..attempt }, waiter, cx);
        }
        cx.actions.fail(waiter, error);
    }

    /// The server has granted the lock to a caller who does not wait.
    fn attempt_granted(
        &mut self,
        ownership: Ownership<H>,
        permit: Option<u32>,
        attempt: Attempt,
        waiter: H::Waiter,
        cx: &mut Context<'_, H>,
    ) {
        if cx.host.is_closed() {
            Self::let_go(ownership, cx);
            return cx.actions.fail(waiter, LockError::Closed);
        }
        let (secret, mode) = (ownership.secret(), ownership.mode());
        let (ttl, sent, ends) = (ownership.ttl(), ownership.counts_from(), ownership.ends());
        if !self.add_ownership(ownership, cx) {
            // A caller of this process holds it since.
            return Self::busy(waiter, cx);
        }
        if ends <= cx.now {
            // One attempt is one. The lock was free: that another holds it would be no true answer.
            self.end_ownership(secret, cx);
            return cx.actions.fail(waiter, arrived_too_late(ttl, cx.now.saturating_duration_since(sent)));
        }
        let before = Some(attempt.arrival);
        let others = Grantees { before, is_fresh: true, at_least: at_least(waiter.options()), permit };
        let is_given_away = self.grant_next(secret, others, cx);
        // A caller who came before, and wants it in another mode, is not overtaken.
        let is_behind = self.waiters.first_before(before).is_some();
        match self.ownership_mut(secret) {
            Some(ownership) if !is_behind && (!is_given_away || mode == LockMode::Shared) => {
                let lease = ownership.grant(&waiter, permit, cx);
                cx.actions.answer(waiter, AcquireResult::Granted(lease));
            }
            Some(ownership) if !ownership.is_held() && !ownership.is_handing_over() => {
                self.end_ownership(secret, cx);
                Self::busy(waiter, cx);
            }
            _ => Self::busy(waiter, cx),
        }
    }
}

fn send<H: Host>(token: OwnerToken, attempt: Attempt, waiter: H::Waiter, cx: &mut Context<'_, H>) {
    let lease = lease(waiter.options()).get();
    let whole = at_least(waiter.options()).is_some();
    cx.actions.call(token, Step::Acquire { lease, joining: Joining::No, whole }, CallKind::Attempt(attempt, waiter));
}
