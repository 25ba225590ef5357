//! [`AcquireFuture`]: the future of a caller who waits for a lock.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;

use super::attempt::{Attempt, Outcome};
use super::waiting_caller::{Look, WaitingCaller};
use crate::backend::{Acquired, GrantedLease, WaiterAdmission, tell_lease_left};
use crate::sync::{Sleep, now, sleep_until};
use crate::types::{Wait, time_after};
use crate::{LockError, LockOptions};

/// Waits in the queue until the lock is granted, its time is up, or the provider is closed.
#[pin_project(PinnedDrop)]
pub(super) struct AcquireFuture {
    /// `None` once it is done: the lock was taken, or the place was given up.
    caller: Option<WaitingCaller>,
    options: LockOptions,
    wait: Wait,
    until: Option<Instant>,
    /// The time when it joined the queue, if anybody asked for it, for the first look. That is too early by what passed
    /// since then: an end that passed meanwhile is one that the timer finds to have passed.
    joined: OnceCell<Instant>,
    #[pin]
    timer: Option<Sleep>,
}

impl AcquireFuture {
    pub(super) fn new(caller: WaitingCaller, options: LockOptions, wait: Wait, joined: OnceCell<Instant>) -> Self {
        let until = match wait {
            Wait::No => Some(*joined.get_or_init(now)),
            // A time too far away to be written down is as long as it takes.
            Wait::AtMost(time) => time_after(*joined.get_or_init(now), time),
            Wait::Forever => None,
        };
        Self { caller: Some(caller), options, wait, until, joined, timer: None }
    }
}

impl Future for AcquireFuture {
    type Output = Acquired;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some(caller) = &mut *this.caller else { return Poll::Pending };
            // Read once a turn, and not at all by whoever finds the lock granted.
            let clock = std::mem::take(this.joined);
            // Whoever has no timer has most likely not left its waker yet.
            let spare = this.timer.is_none().then(|| cx.waker().clone());
            let ends = match caller.look(this.options, cx.waker(), spare, &clock) {
                Look::Wait(ends) => ends,
                Look::InProcess(fence) => {
                    let granted = this.caller.take().map(|caller| GrantedLease::in_process(caller.into_lease(fence)));
                    return Poll::Ready(Ok(granted));
                }
                Look::Shared(lease) => {
                    *this.caller = None;
                    return Poll::Ready(Ok(Some(lease.into())));
                }
                Look::Closed => {
                    *this.caller = None;
                    return Poll::Ready(Err(LockError::Closed));
                }
                // Granted, and expired before anybody came for it: a new attempt has the answer.
                Look::Again => {
                    // Its time may be up.
                    let wait = if this.until.is_some_and(|until| now() >= until) { Wait::No } else { *this.wait };
                    let place = &mut caller.position;
                    let (resource, hash, options) = (&place.resource, place.hash, &*this.options);
                    let attempt = Attempt { resource, hash, options, wait, admission: WaiterAdmission::Again };
                    let answer = match caller.shard.attempt(attempt, this.joined) {
                        Ok(Outcome::Queued(ticket)) => {
                            place.ticket = ticket;
                            continue;
                        }
                        Ok(Outcome::Granted(lease)) => Ok(Some(lease)),
                        Ok(Outcome::Busy) => Ok(None),
                        Err(error) => Err(error),
                    };
                    *this.caller = None;
                    return Poll::Ready(answer);
                }
            };
            let now = *clock.get_or_init(now);
            if this.until.is_some_and(|until| now >= until) {
                if let Some(left) = caller.leave(now) {
                    if let Some(lease_left) = left.lease_left {
                        tell_lease_left(lease_left, this.options.configured_ttl());
                    }
                    *this.caller = None;
                    return Poll::Ready(Ok(None));
                }
                continue; // Granted at the last moment.
            }
            // Without an end to wait for it looks again after its own TTL (M6).
            let again = ends.or_else(|| time_after(now, this.options.configured_ttl()));
            let Some(up_at) = earlier(*this.until, again) else { return Poll::Pending };
            match this.timer.as_mut().as_pin_mut() {
                // One that is up earlier than it has to be costs a look, and setting it anew costs as much.
                Some(timer) if timer.deadline() <= up_at => {}
                Some(timer) => timer.reset(up_at),
                None => this.timer.set(Some(sleep_until(up_at))),
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
                // The timer counts in milliseconds and may be early by a part of one: then it is set anew.
                this.timer.set(None);
            }
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[pinned_drop]
impl PinnedDrop for AcquireFuture {
    fn drop(self: Pin<&mut Self>) {
        if let Some(caller) = self.project().caller.take() {
            caller.give_up();
        }
    }
}
