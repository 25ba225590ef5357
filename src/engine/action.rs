//! [`Actions`]: what follows from an event.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::command::{Call, CallKind, Extension, Step, Unacknowledged};
use super::host::{Host, Lease};
use super::owner_token::OwnerToken;
use super::ownership::Ownership;
use super::ttl_millis::TtlMillis;
use crate::LockError;
use crate::backend::Wakers;

/// What a driver does after an event. The calls are queued in order while it holds the mutex under which the event was
/// handled, the rest is done once that is free: it may run code of a user (a waker, a drop), which may release a lock of
/// the same shard.
#[derive(Debug)]
pub(crate) struct Actions<H: Host> {
    /// An acquire that was asked again and is not sent yet is not to be sent any more.
    pub(crate) withdraw: Option<OwnerToken>,
    /// Most events have one at most, which needs no allocation.
    first_call: Option<Call<H>>,
    more_calls: Vec<Call<H>>,
    first_answer: Option<(H::Waiter, AcquireResult<H::Lease>)>,
    more_answers: Vec<(H::Waiter, AcquireResult<H::Lease>)>,
    /// Watchers of leases that were lost, or may end earlier than was known.
    pub(crate) watchers: Vec<Wakers>,
    /// Extensions that have a result.
    pub(crate) extensions: Vec<(Extension<H>, Extended)>,
    /// What ended, to be dropped.
    ended: Vec<Ownership<H>>,
    ended_leases: Vec<H::Lease>,
    ended_waiters: Vec<H::Waiter>,
    /// [`Lock::deadline`](super::Lock::deadline) may be another than before.
    pub(crate) reschedule: bool,
    /// A waiter of this process does not hear notifications.
    pub(crate) warn_unnotified: bool,
}

/// The result of an extension: `false` if the lock is not ours any more.
pub(crate) type Extended = Result<bool, LockError>;

/// What an acquire comes to.
#[derive(Debug)]
pub(crate) enum AcquireResult<L> {
    Granted(L),
    /// Another caller or process holds the lock; what is left of its lease, if that is known.
    Busy {
        lease_left: Option<TtlMillis>,
    },
    /// In a place of its own: an error is large, and there is room for an answer with every acquire.
    Failed(Box<LockError>),
}

impl<H: Host> Default for Actions<H> {
    fn default() -> Self {
        Self {
            withdraw: None,
            first_call: None,
            more_calls: Vec::new(),
            first_answer: None,
            more_answers: Vec::new(),
            watchers: Vec::new(),
            extensions: Vec::new(),
            ended: Vec::new(),
            ended_leases: Vec::new(),
            ended_waiters: Vec::new(),
            reschedule: false,
            warn_unnotified: false,
        }
    }
}

impl<H: Host> Actions<H> {
    /// Calls the server.
    pub(super) fn call(&mut self, token: OwnerToken, step: Step, kind: CallKind<H>) {
        let call = Call { token, step, kind };
        match &self.first_call {
            None => self.first_call = Some(call),
            Some(_) => self.more_calls.push(call),
        }
    }

    /// Whether the server is called.
    pub(super) fn has_calls(&self) -> bool {
        self.first_call.is_some()
    }

    /// Cancels an acquire (R4).
    pub(super) fn cancel(&mut self, token: OwnerToken, step: Step, lease: TtlMillis, unacknowledged: Unacknowledged) {
        self.call(token, step, CallKind::Cancel { lease, unacknowledged });
    }

    /// The calls, in the order in which they are to be queued.
    pub(crate) fn take_calls(&mut self) -> impl Iterator<Item = Call<H>> {
        self.first_call.take().into_iter().chain(self.more_calls.drain(..))
    }

    /// Answers a caller.
    pub(super) fn answer(&mut self, waiter: H::Waiter, result: AcquireResult<H::Lease>) {
        match &self.first_answer {
            None => self.first_answer = Some((waiter, result)),
            Some(_) => self.more_answers.push((waiter, result)),
        }
    }

    /// Answers a caller with an error.
    pub(super) fn fail(&mut self, waiter: H::Waiter, error: LockError) {
        self.answer(waiter, AcquireResult::Failed(Box::new(error)));
    }

    /// The answers to callers. One that finds its caller gone is to be given back: a lease is released.
    pub(crate) fn take_answers(&mut self) -> impl Iterator<Item = (H::Waiter, AcquireResult<H::Lease>)> {
        self.first_answer.take().into_iter().chain(self.more_answers.drain(..))
    }

    /// Ends a lease that is no longer ours.
    pub(super) fn lose(&mut self, lease: &H::Lease, now: Instant) {
        if let Some(watchers) = lease.state().lose_without_waking(now) {
            self.wake(watchers);
        }
    }

    /// Lets a lease last for `length` from `from` on. `false` if it has ended.
    #[must_use]
    pub(super) fn renew(&mut self, lease: &H::Lease, now: Instant, from: Instant, length: Duration) -> bool {
        let (renewed, watchers) = lease.state().renew_without_waking(now, from, length);
        self.wake(watchers);
        renewed
    }

    fn wake(&mut self, watchers: Wakers) {
        if !watchers.is_empty() {
            self.watchers.push(watchers);
        }
    }

    /// Tells the caller of an extension its result.
    pub(super) fn extended(&mut self, extension: Extension<H>, result: Result<bool, LockError>) {
        self.extensions.push((extension, result));
    }

    /// Tells the callers of all these extensions the same.
    pub(super) fn all_extended(&mut self, waiting: VecDeque<Box<Extension<H>>>, result: &Result<bool, LockError>) {
        for extension in waiting {
            self.extended(*extension, result.clone());
        }
    }

    /// Drops leases that are over, once the mutex is free.
    pub(super) fn drop_leases(&mut self, leases: Vec<H::Lease>) {
        self.ended_leases.extend(leases);
    }

    /// Drops a waiter that has left, once the mutex is free.
    pub(super) fn drop_waiter(&mut self, waiter: H::Waiter) {
        self.ended_waiters.push(waiter);
    }

    /// Drops an ownership that is over, once the mutex is free.
    pub(super) fn drop_later(&mut self, ownership: Ownership<H>) {
        if ownership.is_shared() {
            self.ended.push(ownership);
        }
    }
}
