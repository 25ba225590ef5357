//! [`Lock`]: the state of one lock, and every pair of state and event.

use tokio::time::Instant;

use super::context::Context;
use super::event::Event;
use super::host::{Host, Waiter};
use super::owner_token::{OwnerToken, Secret};
use super::ownership::Ownership;
use super::request::PendingRequest;
use super::requests::Requests;
use super::several::Several;
use super::wait_queue::WaitQueue;
use crate::LockMode;

/// One resource's lock, as this process is concerned with it. See the [module](super) for its states.
#[derive(Debug)]
pub(crate) struct Lock<H: Host> {
    /// What is ours on the server, in the order of the grants.
    pub(super) ownerships: Several<Ownership<H>>,
    /// What the server has been asked for, in the order in which it was.
    pub(super) requests: Requests,
    pub(super) waiters: WaitQueue<H>,
}

/// For how many permits the server is asked at once, on behalf of the callers of one process.
pub(super) const MOST_REQUESTS: usize = 64;

impl<H: Host> Default for Lock<H> {
    /// A lock of which this process knows nothing.
    fn default() -> Self {
        Self { ownerships: Several::None, requests: Requests::default(), waiters: WaitQueue::default() }
    }
}

impl<H: Host> Lock<H> {
    /// Changes the state by an event, and leaves what follows in the context's actions.
    ///
    /// What each event does, for what it concerns: the callers that wait, a request, or an ownership. What is asked of the
    /// server next follows in [`settle`](Self::settle).
    ///
    /// | event | nothing of it | Requesting | Owned, held | Owned, handing over |
    /// | --- | --- | --- | --- | --- |
    /// | `Join` | wait | wait | wait; a reader joins readers | wait |
    /// | `TryNow` | ask the server | ask the server | busy, join readers, or ask for a permit | ask the server |
    /// | `Leave` | – | cancel, if no other wants it | – | release, if no other wants it |
    /// | `TimeIsUp` | – | leave, or look again | leave: busy | leave, or look again |
    /// | `Release` | – | – | hand over, or release | – |
    /// | `Extend` | lost | – | ask the server | lost |
    /// | `Close` | – | fail the waiters, cancel | lose, release | fail the waiters, release |
    /// | `AcquireReply` | cancel | grant, wait, or fail | in doubt, or – | the same |
    /// | `AttemptReply` | grant or answer | earlier callers first | one that cannot be held beside it ends | the same |
    /// | `HandoverReply` | – | – | more readers join, or wait | grant, lose, or release |
    /// | `RenewReply`, `CheckReply` | – | – | renew, retry, or lose | the same |
    /// | `ExtendReply` | lost | – | extend, restore, or in doubt | the same |
    /// | `Granted` | cancel | grant, or ask again | – | – |
    /// | `Wanted` | – | note it | bound hand-overs, let no more readers join | the same |
    /// | `Reconnected` | – | ask again | renew or check | – |
    /// | `DeadlineReached` | – | ask again | renew, or end | end |
    pub(crate) fn handle(&mut self, event: Event<'_, H>, cx: &mut Context<'_, H>) {
        let before = self.counts();
        // These change a deadline only with what is owned or requested, which is asked of the server then; or where a reader
        // joins others.
        let keeps_deadline = matches!(
            event,
            Event::Join { .. } | Event::TryNow { .. } | Event::Leave { .. } | Event::TimeIsUp { .. } | Event::Wanted(_)
        );
        match event {
            Event::Join { waiter, admission, ticket } => self.join(waiter, admission, ticket, cx),
            Event::TryNow { waiter } => self.try_now(waiter, cx),
            Event::Leave { ticket } => _ = self.waiters.leave(ticket),
            Event::TimeIsUp { ticket, waiter, until, again } => *again = self.give_up(ticket, waiter, until, cx),
            Event::Release { lease, answer } => *answer = self.release(lease, cx),
            Event::Extend { lease, duration, answer } => *answer = self.extend(lease, duration, cx),
            Event::Close => self.close(cx),
            Event::AcquireReply { token, step, reply } => self.acquire_replied(token, step, reply, cx),
            Event::AttemptReply { token, attempt, waiter, reply } => {
                self.attempt_replied(token, attempt, waiter, reply, cx);
            }
            Event::HandoverReply { token, lease, floor, permit, reply } => {
                self.handover_replied(token, (lease, floor), permit, &reply, cx);
            }
            Event::RenewReply { token, lease, reply } => self.renew_replied(token, lease, &reply, cx),
            Event::CheckReply { token, reply } => self.check_replied(token, &reply, cx),
            Event::ExtendReply { token, extension, reply } => self.extend_replied(token, *extension, reply, cx),
            Event::Granted(grant) => self.granted_by_notification(grant, cx),
            Event::Wanted(token) => self.wanted_by_others(token, cx),
            Event::Reconnected => self.reconnected(cx),
            Event::DeadlineReached => self.deadline_reached(cx),
        }
        self.settle(cx);
        cx.actions.reschedule = !keeps_deadline || cx.actions.has_calls() || self.counts() != before;
    }

    /// How many ownerships, holders and requests there are.
    fn counts(&self) -> (usize, usize, usize) {
        let holders = self.ownerships.iter().map(|ownership| ownership.holders.len()).sum();
        (self.ownerships.len(), holders, self.requests.len())
    }

    /// What holds after every event: a reader who may join the readers of this process has joined; nothing is owned that no
    /// caller holds or is about to hold (R5); and the server is asked for what the first callers wait for, and for nothing
    /// else (R3).
    pub(super) fn settle(&mut self, cx: &mut Context<'_, H>) {
        if self.ownerships.is_empty() && self.requests.is_empty() && self.waiters.is_empty() {
            return;
        }
        self.let_readers_join(cx);
        self.end_unheld(cx);
        self.cancel_surplus_requests(cx);
        while self.requests.len() < self.requests_needed() {
            self.begin_request(cx);
        }
    }

    /// In which mode the first callers want the lock, and how many of them, counted no further than what is asked for at
    /// once.
    pub(super) fn wanted(&self) -> Option<(LockMode, usize)> {
        let mode = self.waiters.first()?.options().configured_mode();
        let most = if matches!(mode, LockMode::Permits(_)) { MOST_REQUESTS } else { 1 };
        let first = self.waiters.iter().take(most).take_while(|waiter| waiter.options().configured_mode() == mode);
        Some((mode, first.count()))
    }

    /// Ends the ownerships that no caller holds, and for which none waits either (R5).
    fn end_unheld(&mut self, cx: &mut Context<'_, H>) {
        let (mode, mut count) = self.wanted().unwrap_or((LockMode::Exclusive, 0));
        let is_unheld = |ownership: &Ownership<H>| {
            let awaited = ownership.mode() == mode && count > 0;
            count -= usize::from(awaited && !ownership.is_held());
            !ownership.is_held() && !awaited
        };
        for ownership in self.ownerships.take_all(is_unheld) {
            Self::let_go(ownership, cx);
        }
    }

    /// Cancels the requests for which no caller waits. One in flight is cancelled when its reply arrives (R4).
    fn cancel_surplus_requests(&mut self, cx: &mut Context<'_, H>) {
        if self.requests.is_empty() {
            return;
        }
        let (mode, mut count) = self.wanted().unwrap_or((LockMode::Exclusive, 0));
        let surplus = self.requests.take_all(|request| {
            let awaited = request.token.mode() == mode && count > 0;
            count -= usize::from(awaited);
            !awaited && request.in_flight().is_none()
        });
        for request in surplus {
            cx.actions.cancel(request.token, request.cancellation(), request.lease(), request.unacknowledged());
        }
    }

    /// How many requests there have to be for the first callers (R3). A caller of this process who holds the lock exclusively
    /// is followed by them, or the server is asked once that one has released.
    fn requests_needed(&self) -> usize {
        let Some((mode, count)) = self.wanted() else { return 0 };
        if self.ownerships.iter().any(|ownership| ownership.mode() == LockMode::Exclusive) {
            return 0;
        }
        let about_to_serve = |ownership: &&Ownership<H>| ownership.mode() == mode && ownership.is_handing_over();
        let other_modes = self.requests.iter().filter(|request| request.token.mode() != mode).count();
        count.saturating_sub(self.ownerships.iter().filter(about_to_serve).count()) + other_modes
    }

    /// When [`DeadlineReached`](Event::DeadlineReached) is due, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let recheck = self.requests.iter().filter_map(PendingRequest::recheck_at).min();
        let due = self.ownerships.iter().map(Ownership::deadline).min();
        recheck.into_iter().chain(due).min()
    }

    /// The deadline has come.
    fn deadline_reached(&mut self, cx: &mut Context<'_, H>) {
        for secret in self.secrets(|ownership| ownership.deadline() <= cx.now) {
            self.renew_or_end(secret, cx);
        }
        let now = cx.now;
        self.request_again(cx, |request| request.recheck_at().is_some_and(|recheck| recheck <= now));
    }

    /// There is a new connection.
    fn reconnected(&mut self, cx: &mut Context<'_, H>) {
        self.request_again(cx, |_| true);
        for ownership in self.ownerships.iter_mut() {
            ownership.check(cx);
        }
    }

    /// Whether it can be removed (R5).
    pub(crate) fn is_idle(&self) -> bool {
        self.ownerships.is_empty() && self.requests.is_empty() && self.waiters.is_empty()
    }

    /// The callers that wait for it.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &H::Waiter> {
        self.waiters.iter()
    }

    /// The leases of the callers that hold it.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &H::Lease> {
        self.ownerships.iter().flat_map(|ownership| ownership.holders.iter())
    }

    /// The owner token under which it is held by this lease.
    pub(crate) fn owner_token(&self, lease: &H::Lease, inbox: super::InboxId) -> Option<OwnerToken> {
        self.ownerships.iter().find(|ownership| ownership.is_held_by(lease)).map(|ownership| ownership.token(inbox))
    }

    /// How many callers wait. One that asks for a lock that may be free waits for a reply, and not for a holder.
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.admitted()
    }

    /// Whether its callers wait for the server's first reply, and not for a holder.
    pub(crate) fn is_asking(&self) -> bool {
        self.requests.iter().any(|request| !request.is_waiting())
    }

    /// Whether a caller of this process holds it, and for some time yet, so that a caller in this mode has to wait or to join.
    pub(super) fn is_held_against(&self, mode: LockMode, now: Instant) -> bool {
        self.ownerships.iter().any(|ownership| {
            !ownership.mode().is_compatible_with(mode) && ownership.is_held() && ownership.lease_ends() > now
        })
    }

    /// The request with this token.
    pub(super) fn request_of(&mut self, token: OwnerToken) -> Option<&mut PendingRequest> {
        self.requests.get_mut(token)
    }

    /// Ends the request with this token.
    pub(super) fn take_request(&mut self, token: OwnerToken) -> Option<PendingRequest> {
        self.requests.take(token)
    }

    /// What is owned for which this is so, by the secrets of their tokens.
    pub(super) fn secrets(&self, is: impl Fn(&Ownership<H>) -> bool) -> Several<Secret> {
        let mut secrets = Several::None;
        self.ownerships.iter().filter(|ownership| is(ownership)).for_each(|ownership| secrets.push(ownership.secret()));
        secrets
    }

    pub(super) fn ownership(&self, secret: Secret) -> Option<&Ownership<H>> {
        self.ownerships.iter().find(|ownership| ownership.secret() == secret)
    }

    pub(super) fn ownership_mut(&mut self, secret: Secret) -> Option<&mut Ownership<H>> {
        self.ownerships.iter_mut().find(|ownership| ownership.secret() == secret)
    }

    /// The ownership, if this token is its own.
    pub(super) fn ownership_of(&mut self, token: OwnerToken) -> Option<&mut Ownership<H>> {
        self.ownership_mut(token.secret())
    }

    /// The ownership, if this is a holder's lease.
    pub(super) fn ownership_held_by(&mut self, lease: &H::Lease) -> Option<&mut Ownership<H>> {
        self.ownerships.iter_mut().find(|ownership| ownership.is_held_by(lease))
    }

    pub(super) fn take_ownership(&mut self, secret: Secret) -> Option<Ownership<H>> {
        self.ownerships.take(|ownership| ownership.secret() == secret)
    }
}
