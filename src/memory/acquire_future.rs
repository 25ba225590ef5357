//! [`AcquireFuture`]: the future of a caller that waits for a lock.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;

use super::attempt::{Attempt, Outcome};
use super::waiting_caller::{WaitStatus, WaitingCaller};
use crate::backend::{Acquired, GrantedLease, WaiterAdmission, tell_lease_left};
use crate::sync::{Sleep, now, sleep_until};
use crate::types::{Wait, time_after};
use crate::{LockError, LockOptions};

/// Waits in the queue until the lock is granted, the wait is over, or the provider is closed.
#[pin_project(PinnedDrop)]
pub(super) struct AcquireFuture {
    /// `None` once the acquire has a result.
    caller: Option<WaitingCaller>,
    options: LockOptions,
    wait: Wait,
    deadline: Option<Instant>,
    /// The time at which the caller joined the queue, until the first poll uses it in place of the present time. If the
    /// holder's lease has ended since, the timer is up at once, and the next check finds that.
    joined_at: OnceCell<Instant>,
    #[pin]
    timer: Option<Sleep>,
}

impl AcquireFuture {
    pub(super) fn new(caller: WaitingCaller, options: LockOptions, wait: Wait, joined_at: OnceCell<Instant>) -> Self {
        let deadline = wait.deadline(*joined_at.get_or_init(now));
        Self { caller: Some(caller), options, wait, deadline, joined_at, timer: None }
    }
}

impl Future for AcquireFuture {
    type Output = Acquired;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some(caller) = &mut *this.caller else { return Poll::Pending };
            // Read at most once in each iteration, and not at all if the lock was granted.
            let clock = std::mem::take(this.joined_at);
            // Without a timer this is most likely the first poll, so the waker has to be left.
            let new_waker = this.timer.is_none().then(|| cx.waker().clone());
            let ends = match caller.check(this.options, cx.waker(), new_waker, &clock) {
                WaitStatus::Wait(ends) => ends,
                WaitStatus::InProcess(fence) => {
                    let granted = this.caller.take().map(|caller| GrantedLease::in_process(caller.into_lease(fence)));
                    return Poll::Ready(Ok(granted));
                }
                WaitStatus::Shared(lease) => {
                    *this.caller = None;
                    return Poll::Ready(Ok(Some(lease.into())));
                }
                WaitStatus::Closed => {
                    *this.caller = None;
                    return Poll::Ready(Err(LockError::Closed));
                }
                // The lock was granted, and the grant expired before this poll: attempt again.
                WaitStatus::Expired => {
                    // The deadline may have passed meanwhile.
                    let wait =
                        if this.deadline.is_some_and(|deadline| now() >= deadline) { Wait::No } else { *this.wait };
                    let position = &mut caller.position;
                    let (resource, hash, options) = (&position.resource, position.hash, &*this.options);
                    let attempt = Attempt { resource, hash, options, wait, admission: WaiterAdmission::Again };
                    let answer = match caller.shard.attempt(attempt, this.joined_at) {
                        Ok(Outcome::Queued(ticket)) => {
                            position.ticket = ticket;
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
            if this.deadline.is_some_and(|deadline| now >= deadline) {
                if let Some(still_held) = caller.leave(now) {
                    if let Some(lease_left) = still_held.lease_left {
                        tell_lease_left(lease_left, this.options.configured_ttl());
                    }
                    *this.caller = None;
                    return Poll::Ready(Ok(None));
                }
                continue; // The lock was granted since the check.
            }
            // If the holder's lease has no known end, check again after this caller's own TTL (M6).
            let recheck_at = ends.or_else(|| time_after(now, this.options.configured_ttl()));
            let Some(wake_at) = earlier(*this.deadline, recheck_at) else { return Poll::Pending };
            match this.timer.as_mut().as_pin_mut() {
                // A timer that is up too early costs one check, and so does resetting it.
                Some(timer) if timer.deadline() <= wake_at => {}
                Some(timer) => timer.reset(wake_at),
                None => this.timer.set(Some(sleep_until(wake_at))),
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
                // The timer has a resolution of a millisecond and may be early by less than one. Then it is set again.
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
