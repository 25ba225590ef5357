//! [`Lock`]: the state of one lock, and every pair of state and event.

use tokio::time::Instant;

use super::context::Context;
use super::event::Event;
use super::host::Host;
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::request::PendingRequest;
use super::wait_queue::WaitQueue;

/// One resource's lock, as this process is concerned with it. See the [module](super) for its states.
#[derive(Debug)]
pub(crate) struct Lock<H: Host> {
    pub(super) state: State<H>,
    pub(super) waiters: WaitQueue<H>,
}

/// What a lock is in.
#[derive(Debug)]
pub(super) enum State<H: Host> {
    Free,
    Requesting(Box<PendingRequest>),
    Owned(Ownership<H>),
}

impl<H: Host> Default for Lock<H> {
    /// A lock of which this process knows nothing.
    fn default() -> Self {
        Self { state: State::Free, waiters: WaitQueue::default() }
    }
}

impl<H: Host> Lock<H> {
    /// Changes the state by an event, and leaves what follows in the context's actions.
    ///
    /// What each event does in each state; a dash where it changes nothing:
    ///
    /// | event | Free | Requesting | Owned, held | Owned, handing over |
    /// | --- | --- | --- | --- | --- |
    /// | `Join` | request | wait | wait | wait |
    /// | `TryNow` | ask the server | ask the server | busy | ask the server |
    /// | `Leave` | – | cancel, if it was the last | – | release, if it was the last |
    /// | `TimeIsUp` | – | leave, or look again | leave: busy | leave, or look again |
    /// | `Release` | – | – | hand over, or release | – |
    /// | `Extend` | lost | lost | ask the server | lost |
    /// | `Close` | – | fail the waiters, cancel | lose, release | fail the waiters, release |
    /// | `AcquireReply` | cancel | grant, wait, or fail | cancel, or in doubt; behind it as requesting | the same |
    /// | `AttemptReply` | grant or answer | the older ownership or caller first | the older ends | the older ends |
    /// | `HandoverReply` | – | – | – | grant, lose, or release |
    /// | `RenewReply`, `CheckReply` | – | – | renew, retry, or lose | the same |
    /// | `ExtendReply` | lost | lost | extend, restore, or in doubt | the same |
    /// | `Granted` | cancel | grant, or ask again | –; behind it as requesting | the same |
    /// | `Wanted` | – | note it | bound local hand-overs | the same |
    /// | `Reconnected` | – | ask again | renew or check | – |
    /// | `DeadlineReached` | – | ask again | renew, or end | end |
    pub(crate) fn handle(&mut self, event: Event<'_, H>, cx: &mut Context<'_, H>) {
        let before = (std::mem::discriminant(&self.state), self.request().is_some());
        // These change a deadline only with the state, or with the end of the request.
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
            Event::HandoverReply { token, lease, reply } => self.handover_replied(token, lease, &reply, cx),
            Event::RenewReply { token, lease, reply } => self.renew_replied(token, lease, &reply, cx),
            Event::CheckReply { token, reply } => self.check_replied(token, &reply, cx),
            Event::ExtendReply { token, extension, reply } => self.extend_replied(token, *extension, reply, cx),
            Event::Granted(grant) => self.granted_by_notification(grant, cx),
            Event::Wanted(token) => self.wanted_by_others(token, cx),
            Event::Reconnected => self.reconnected(cx),
            Event::DeadlineReached => self.deadline_reached(cx),
        }
        self.settle(cx);
        cx.actions.reschedule =
            !keeps_deadline || (std::mem::discriminant(&self.state), self.request().is_some()) != before;
    }

    /// What holds after every event: a lock that callers wait for is owned or requested (R3), and one that no caller holds
    /// or waits for is neither (R5).
    pub(super) fn settle(&mut self, cx: &mut Context<'_, H>) {
        if !self.waiters.is_empty() {
            if matches!(self.state, State::Free) {
                self.begin_request(cx);
            }
            return;
        }
        if self.owned().is_some_and(|ownership| ownership.holder.is_none()) {
            self.end_ownership(cx);
        }
        // One in flight is cancelled when its reply arrives (R4).
        if self.request().is_some_and(|request| request.in_flight().is_none()) {
            self.cancel_request(cx);
        }
    }

    /// When [`DeadlineReached`](Event::DeadlineReached) is due, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let recheck = self.request().and_then(PendingRequest::recheck_at);
        match &self.state {
            State::Owned(ownership) => {
                let due = ownership.deadline();
                Some(recheck.map_or(due, |recheck| recheck.min(due)))
            }
            State::Free | State::Requesting(_) => recheck,
        }
    }

    /// The deadline has come.
    fn deadline_reached(&mut self, cx: &mut Context<'_, H>) {
        if self.owned().is_some_and(|ownership| ownership.deadline() <= cx.now) {
            self.renew_or_end(cx);
        }
        if self.request().and_then(PendingRequest::recheck_at).is_some_and(|recheck| recheck <= cx.now) {
            self.request_again(cx);
        }
    }

    /// There is a new connection.
    fn reconnected(&mut self, cx: &mut Context<'_, H>) {
        self.request_again(cx);
        self.check_ownership(cx);
    }

    /// Whether it can be removed (R5).
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Free) && self.waiters.is_empty()
    }

    /// The callers that wait for it.
    pub(crate) fn waiters(&self) -> impl Iterator<Item = &H::Waiter> {
        self.waiters.iter()
    }

    /// The lease of the caller that holds it.
    pub(crate) fn holder(&self) -> Option<&H::Lease> {
        self.owned()?.holder.as_ref()
    }

    /// The owner token under which it is owned.
    pub(crate) fn owner_token(&self, inbox: super::InboxId) -> Option<OwnerToken> {
        Some(self.owned()?.token(inbox))
    }

    /// How many callers wait. One that asks for a lock that may be free waits for a reply, and not for a holder.
    pub(crate) fn waiting(&self) -> usize {
        let asking = self.owned().is_none() && self.is_asking() && !self.waiters.is_empty();
        self.waiters.len() - usize::from(asking)
    }

    /// Whether its callers wait for the server's first reply, and not for a holder.
    pub(crate) fn is_asking(&self) -> bool {
        self.request().is_some_and(|request| !request.is_waiting())
    }

    /// Whether a caller of this process holds it, and for some time yet.
    pub(super) fn is_held_here(&self, now: Instant) -> bool {
        self.owned().is_some_and(|ownership| ownership.holder.is_some() && ownership.lease_ends() > now)
    }

    /// The request: the state's own, or one behind an ownership.
    pub(super) fn request(&self) -> Option<&PendingRequest> {
        match &self.state {
            State::Free => None,
            State::Requesting(request) => Some(request),
            State::Owned(ownership) => ownership.request(),
        }
    }

    pub(super) fn request_mut(&mut self) -> Option<&mut PendingRequest> {
        match &mut self.state {
            State::Free => None,
            State::Requesting(request) => Some(request),
            State::Owned(ownership) => ownership.request_mut(),
        }
    }

    /// The request, if this token is its own.
    pub(super) fn request_of(&mut self, token: OwnerToken) -> Option<&mut PendingRequest> {
        self.request_mut().filter(|request| request.token == token)
    }

    /// Ends the request.
    pub(super) fn take_request(&mut self) -> Option<Box<PendingRequest>> {
        if let State::Owned(ownership) = &mut self.state {
            return ownership.take_request();
        }
        match std::mem::replace(&mut self.state, State::Free) {
            State::Requesting(request) => Some(request),
            State::Free | State::Owned(_) => None,
        }
    }

    pub(super) fn owned(&self) -> Option<&Ownership<H>> {
        match &self.state {
            State::Owned(ownership) => Some(ownership),
            State::Free | State::Requesting(_) => None,
        }
    }

    pub(super) fn owned_mut(&mut self) -> Option<&mut Ownership<H>> {
        match &mut self.state {
            State::Owned(ownership) => Some(ownership),
            State::Free | State::Requesting(_) => None,
        }
    }

    /// The ownership, if this token is its own.
    pub(super) fn ownership_of(&mut self, token: OwnerToken) -> Option<&mut Ownership<H>> {
        self.owned_mut().filter(|ownership| ownership.is_of(token))
    }

    /// The ownership, if this is its holder's lease.
    pub(super) fn ownership_held_by(&mut self, lease: &H::Lease) -> Option<&mut Ownership<H>> {
        self.owned_mut().filter(|ownership| ownership.is_held_by(lease))
    }

    /// Takes the ownership out of the state. A request that was behind it goes on.
    pub(super) fn take_ownership(&mut self) -> Option<Ownership<H>> {
        match std::mem::replace(&mut self.state, State::Free) {
            State::Owned(mut ownership) => {
                if let Some(request) = ownership.take_request() {
                    self.state = State::Requesting(request);
                }
                Some(ownership)
            }
            other => {
                self.state = other;
                None
            }
        }
    }
}
