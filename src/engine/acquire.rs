//! Callers who wait: they join, share one request, and leave.

use std::time::Duration;

use super::action::AcquireResult;
use super::command::{CallKind, Joining, OnServerFailure, Step, Unacknowledged};
use super::context::Context;
use super::host::{Host, Waiter};
use super::lock::{Lock, MOST_REQUESTS};
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::reply::{Acquired, Refusal, Reply};
use super::request::{PendingRequest, Phase, Queued};
use super::ttl_millis::TtlMillis;
use crate::backend::WaiterAdmission;
use crate::{LockError, LockMode};

/// For how long a waiter relies on notifications before it asks again. A lost notification costs no more than this, and a
/// holder of another program, which notifies no waiter, is noticed gone within it. Ten seconds of waiting are about eleven
/// commands.
pub(super) const RECHECK: Duration = Duration::from_millis(920);

/// Added to the end of a lease before it is asked whether it has ended: a server's keys expire by the millisecond.
const AFTER_THE_END: Duration = Duration::from_millis(2);

/// Whether an acquire without a reply may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InDoubt {
    No,
    /// The connection was closed before the reply.
    Cut,
    /// The reply did not come in time.
    Silent,
}

impl<H: Host> Lock<H> {
    /// A caller wants the lock, and is ready to wait.
    pub(super) fn join(
        &mut self,
        waiter: &H::Waiter,
        admission: WaiterAdmission,
        ticket: &mut Option<u64>,
        cx: &mut Context<'_, H>,
    ) {
        if cx.host.is_closed() {
            return cx.actions.fail(waiter.clone(), LockError::Closed);
        }
        let mode = waiter.options().configured_mode();
        if mode == LockMode::Shared && self.waiters.is_empty() && self.join_readers(waiter, cx) {
            return;
        }
        let held = self.is_held_against(mode, cx.now);
        let permit = match admission {
            // Whether it has to wait is not known before the server has replied: to the only request of those who want it
            // for themselves, or to the request for its own permit. A request that is in flight for a caller who has left is
            // as good as one of its own.
            WaiterAdmission::New if !held && self.may_be_free_for_one_more(mode) => None,
            WaiterAdmission::New => {
                if waiter.options().configured_max_waiters().is_some_and(|most| self.waiting() >= most) {
                    return cx.actions.fail(waiter.clone(), LockError::TooManyWaiters);
                }
                let Some(permit) = cx.host.waiter_limit().enter() else {
                    return cx.actions.fail(waiter.clone(), LockError::TooManyWaitersInTotal);
                };
                Some(permit)
            }
            WaiterAdmission::Again => Some(cx.host.waiter_limit().enter_again()),
        };
        if !held {
            // Callers who wait already go on waiting while the server is out of reach. None begins to.
            if let Some(error) = cx.host.unreachable(cx.resource) {
                return cx.actions.fail(waiter.clone(), error);
            }
            self.end_what_is_over(cx);
        }
        if permit.is_none() {
            cx.on_failure = OnServerFailure::Fail;
        }
        let drawn = cx.ticket();
        *ticket = Some(drawn);
        self.waiters.join(drawn, waiter.clone(), permit);
    }

    /// Whether one more caller in this mode may get the lock without a wait, as far as is known.
    fn may_be_free_for_one_more(&self, mode: LockMode) -> bool {
        match mode {
            LockMode::Permits(_) => {
                self.waiters.admitted() == 0
                    && self.waiters.has_fewer_than(MOST_REQUESTS)
                    && self.waiters.are_all_in(mode)
            }
            LockMode::Exclusive | LockMode::Shared => self.waiters.is_empty(),
        }
    }

    /// Asks the server for the lock, on behalf of the callers that wait here (R3). If it cannot be asked, they fail.
    pub(super) fn begin_request(&mut self, cx: &mut Context<'_, H>) {
        let Some(first) = self.waiters.first() else { return };
        let mode = first.options().configured_mode();
        // Each request for a permit is that of one caller; any other is that of all who want the same.
        let alike = self.requests.iter().filter(|request| request.token.mode() == mode).count();
        let mut callers = self.waiters.iter().take_while(|caller| caller.options().configured_mode() == mode);
        let options = *callers.nth(alike).unwrap_or(first).options();
        drop(callers);
        let token = match cx.host.new_token(mode) {
            Ok(token) => token,
            Err(error) => {
                self.fail_waiters(&error, cx);
                return;
            }
        };
        let joining = match options.configured_max_waiters() {
            // Where no caller may wait, the first does not either.
            Some(0) => Joining::No,
            _ => Joining::Queue { deadline: None },
        };
        let request = PendingRequest::new(token, &options, cx.on_failure, cx.now, cx.host.epoch());
        cx.actions.call(token, request.first_acquire(joining), CallKind::Acquire);
        self.requests.push(request);
    }

    /// Asks again where we stand in the server's wait queue: a notification may have been lost. A request keeps its place,
    /// since its token is the same.
    pub(super) fn request_again(&mut self, cx: &mut Context<'_, H>, is_due: impl Fn(&PendingRequest) -> bool) {
        let epoch = cx.host.epoch();
        for request in self.requests.iter_mut().filter(|request| request.in_flight().is_none() && is_due(request)) {
            request.phase = Phase::InFlight(cx.now.into());
            request.epoch = epoch;
            cx.actions.call(request.token, request.acquire(), CallKind::Acquire);
        }
    }

    /// The same for one request.
    pub(super) fn request_this_again(&mut self, token: OwnerToken, cx: &mut Context<'_, H>) {
        self.request_again(cx, |request| request.token == token);
    }

    /// The server has replied to the request of this process, or has not.
    pub(super) fn acquire_replied(
        &mut self,
        token: OwnerToken,
        step: Step,
        reply: Reply<Acquired>,
        cx: &mut Context<'_, H>,
    ) {
        let epoch = cx.host.epoch();
        let Some(request) = self.request_of(token) else {
            return self.acquire_replied_too_late(token, step, &reply, cx);
        };
        let (ttl, asked) = (request.ttl.get(), request.epoch);
        match reply {
            Reply::Done { result: Acquired::Granted { .. }, .. } if asked != epoch => {
                // Our clock may have stood still while the reply was on its way. The next reply says anew how long the lease
                // lasts. The lock is ours, most likely, so that there is something to wait for.
                request.on_failure = OnServerFailure::Retry;
                request.phase = Phase::Waiting(cx.now.into());
                self.request_this_again(token, cx);
            }
            Reply::Done { result: Acquired::Granted { fence, others_wait, permit }, sent } => {
                self.granted(Ownership::new(token, fence, (sent, epoch), ttl, others_wait), permit, cx);
            }
            Reply::Done { result: Acquired::Queued { lease_left, at, deadline, dropped }, sent } => {
                request.queued = Some(Queued { deadline, sent: sent.into(), at });
                request.heard_in = asked;
                request.lease_left = lease_left.map(TtlMillis::from);
                let mut again = next_recheck(request, lease_left, cx);
                if dropped && request.entry_was_dropped() {
                    cx.actions.warn_unnotified = true;
                    // Its entry still says that it is to be notified.
                    again = Duration::ZERO;
                }
                let notified = std::mem::take(&mut request.notified);
                request.phase = Phase::Waiting((cx.now + again).into());
                self.begin_to_wait(token.mode(), cx);
                if notified {
                    self.request_this_again(token, cx);
                }
            }
            Reply::Done { result: Acquired::Busy, .. } => {
                self.take_request(token);
                cx.on_failure = OnServerFailure::Fail;
                self.begin_to_wait(token.mode(), cx);
            }
            Reply::Done { result: Acquired::Unfinished, .. } => {
                request.phase = Phase::InFlight(cx.now.into());
                request.epoch = epoch;
                cx.actions.call(token, step, CallKind::Acquire);
            }
            Reply::Refused(refusal) => self.request_refused(token, &refusal, cx),
            Reply::Garbled(error) => {
                self.request_refused(token, &Refusal { error, is_passing: false, has_not_run: false }, cx);
            }
            // It has not run: there is nothing to cancel.
            Reply::NotSent(error) => self.request_unanswered(token, &error, InDoubt::No, cx),
            Reply::Indeterminate { error, was_cut } => {
                self.request_unanswered(token, &error, if was_cut { InDoubt::Cut } else { InDoubt::Silent }, cx);
            }
        }
    }

    /// A reply to a request that is over: a notification of the grant came before it. What the server may still have of the
    /// request is cancelled (R4).
    fn acquire_replied_too_late(
        &mut self,
        token: OwnerToken,
        step: Step,
        reply: &Reply<Acquired>,
        cx: &mut Context<'_, H>,
    ) {
        let Step::Acquire { lease, .. } = step else { return };
        let ours = self.ownership_of(token);
        match reply {
            Reply::Indeterminate { .. } => match ours {
                Some(ownership) => ownership.acquire_in_doubt(lease),
                None => cx.actions.cancel(token, Step::Cancel { keep: None }, lease.into(), Unacknowledged::Several),
            },
            Reply::Done { result: Acquired::Granted { .. }, .. } | Reply::Refused(_) | Reply::Garbled(_)
                if ours.is_none() =>
            {
                cx.actions.cancel(token, Step::Cancel { keep: None }, lease.into(), Unacknowledged::None);
            }
            // Most often the grant of which we were notified came after it. But a request that is asked again may get to the
            // server when the lease of that grant is over, and then it has joined the queue for no caller.
            Reply::Done { result: Acquired::Queued { at, .. }, .. } => match ours {
                Some(ownership) if ownership.was_granted_before(*at) => ownership.acquire_in_doubt(lease),
                Some(_) => {}
                None => cx.actions.cancel(token, Step::Cancel { keep: None }, lease.into(), Unacknowledged::None),
            },
            Reply::Done { .. } | Reply::Refused(_) | Reply::Garbled(_) | Reply::NotSent(_) => {}
        }
    }

    /// The server has said that the lock is held: the first caller of whom that was not known waits from now on, if it may.
    /// It was admitted because none waited; it may be one that allows none to wait, or there may be no room for it.
    fn begin_to_wait(&mut self, mode: LockMode, cx: &mut Context<'_, H>) {
        let Some(next) = self.waiters.first_unadmitted().filter(|next| next.options().configured_mode() == mode) else {
            return;
        };
        // Others were admitted after the first who wants it for itself, but none after one of those who want permits.
        let waiting = if matches!(mode, LockMode::Permits(_)) { self.waiting() } else { 0 };
        let refusal = if next.options().configured_max_waiters().is_some_and(|most| waiting >= most) {
            LockError::TooManyWaiters
        } else if self.waiters.admit_next(|| cx.host.waiter_limit().enter()) {
            return;
        } else {
            LockError::TooManyWaitersInTotal
        };
        if let Some(waiter) = self.waiters.pop_unadmitted() {
            cx.actions.fail(waiter, refusal);
        }
    }

    /// The server was not reached, or its reply was lost.
    fn request_unanswered(&mut self, token: OwnerToken, error: &LockError, in_doubt: InDoubt, cx: &mut Context<'_, H>) {
        let Some(request) = self.request_of(token) else { return };
        if request.is_waiting() {
            // It goes on waiting: to ask again with the same token is safe.
            request.in_doubt |= in_doubt != InDoubt::No;
            request.phase = Phase::Waiting((cx.now + cx.host.jittered(RECHECK)).into());
            return;
        }
        let (lease, on_failure) = (request.lease(), request.on_failure);
        self.take_request(token);
        if in_doubt != InDoubt::No {
            cx.actions.cancel(token, Step::Cancel { keep: None }, lease, Unacknowledged::One);
            // A server closes a connection that was idle for long, perhaps while this acquire was on its way. That does not
            // tell whether it has run: a server that is killed closes the connection as well. So it is not repeated, but
            // cancelled, and asked anew under another token, which cannot be mistaken for it; the cancellation is sent
            // first. Once only: a connection that is closed by what is asked is not made for ever.
            if on_failure == OnServerFailure::Fail && in_doubt == InDoubt::Cut {
                cx.on_failure = OnServerFailure::FailAnew;
                return;
            }
        }
        self.fail_request(token.mode(), error, cx);
    }

    /// The server has replied with an error.
    fn request_refused(&mut self, token: OwnerToken, refusal: &Refusal, cx: &mut Context<'_, H>) {
        let Some(request) = self.request_of(token) else { return };
        if request.is_waiting() && refusal.is_passing {
            request.phase = Phase::Waiting((cx.now + cx.host.jittered(RECHECK)).into());
            return;
        }
        // A script that failed half-way may have left us in the wait queue. Where there is nothing, the cancellation would
        // be refused as well, and one would be kept for each caller that came in vain.
        let nothing_there = request.queued.is_none() && !request.in_doubt && refusal.has_not_run;
        if !nothing_there {
            cx.actions.cancel(token, Step::Cancel { keep: None }, request.lease(), request.unacknowledged());
        }
        self.take_request(token);
        self.fail_request(token.mode(), &refusal.error, cx);
    }

    /// A request has failed, and with it the callers that share it, unless an ownership of ours will serve them.
    fn fail_request(&mut self, mode: LockMode, error: &LockError, cx: &mut Context<'_, H>) {
        // Its callers may have left.
        let Some((wanted, count)) = self.wanted().filter(|(wanted, _)| *wanted == mode) else { return };
        let alike = self.requests.iter().filter(|request| request.token.mode() == wanted).count();
        match mode {
            LockMode::Permits(_) if alike < count => {
                if let Some(waiter) = self.waiters.pop() {
                    cx.actions.fail(waiter, error.clone());
                }
            }
            LockMode::Permits(_) => {}
            LockMode::Exclusive | LockMode::Shared => {
                let will_serve = |ownership: &Ownership<H>| {
                    ownership.mode() == mode && (mode == LockMode::Exclusive || ownership.is_handing_over())
                };
                if alike == 0 && !self.ownerships.iter().any(will_serve) {
                    self.fail_waiters(error, cx);
                }
            }
        }
    }

    /// Ends the wait of the first callers, who want the same, with an error.
    fn fail_waiters(&mut self, error: &LockError, cx: &mut Context<'_, H>) {
        let Some(mode) = self.waiters.first().map(|first| first.options().configured_mode()) else { return };
        while self.waiters.first().is_some_and(|first| first.options().configured_mode() == mode)
            && let Some(waiter) = self.waiters.pop()
        {
            cx.actions.fail(waiter, error.clone());
        }
    }

    /// Ends every wait with an error.
    pub(super) fn fail_all_waiters(&mut self, error: &LockError, cx: &mut Context<'_, H>) {
        for waiter in self.waiters.drain() {
            cx.actions.fail(waiter, error.clone());
        }
    }

    /// Answers a caller that the lock is held by another.
    pub(super) fn busy(waiter: H::Waiter, cx: &mut Context<'_, H>) {
        cx.actions.answer(waiter, AcquireResult::Busy { lease_left: None });
    }
}

/// After how long a lock is asked for again that another owner holds.
fn next_recheck<H: Host>(request: &mut PendingRequest, lease_left: Option<Duration>, cx: &Context<'_, H>) -> Duration {
    let polls = !cx.host.has_notifications(cx.resource) || request.is_unnotified();
    let usual = cx.host.jittered(if polls { request.next_poll() } else { RECHECK });
    lease_left.map_or(usual, |left| usual.min(left + AFTER_THE_END))
}
