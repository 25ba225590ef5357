//! [`Waiting`]: the future of a caller who waits for a lock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;

use super::attempt::{Admission, Attempt, Outcome};
use super::lease::MemoryLease;
use super::queue::Ticket;
use super::shard::Look;
use crate::mutant::{Mutant, is};
use crate::provider::{Lease, Wait, time_after};
use crate::sync::{Sleep, now, sleep_until};
use crate::{LockError, LockGuard, LockOptions};

/// Waits in the queue until its lease is granted, its time is up, or the provider is closed.
#[pin_project(PinnedDrop)]
pub(super) struct Waiting {
    /// Its lease, and the place that this has in the queue; `None` once the lease is somebody else's business: returned,
    /// or given up.
    place: Option<(Arc<MemoryLease>, Ticket)>,
    options: LockOptions,
    wait: Wait,
    until: Option<Instant>,
    #[pin]
    timer: Option<Sleep>,
}

impl Waiting {
    pub(super) fn new(lease: Arc<MemoryLease>, ticket: Ticket, options: LockOptions, wait: Wait) -> Self {
        let until = match wait {
            Wait::No => Some(now()),
            // A time too far away to be written down is as long as it takes.
            Wait::AtMost(time) => time_after(now(), time),
            Wait::Forever => None,
        };
        Self { place: Some((lease, ticket)), options, wait, until, timer: None }
    }
}

impl Future for Waiting {
    type Output = Result<Option<LockGuard>, LockError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some((lease, ticket)) = this.place.take() else { return Poll::Pending };
            let renewed = this.options.get_auto_renew().then(|| this.options.get_ttl());
            match lease.state.take(renewed) {
                None => {}
                Some(true) => return Poll::Ready(Ok(Some(LockGuard::new(lease)))),
                // Granted, and expired before anybody came for it; or ended because the provider was closed.
                // Whichever it was, a new attempt has the answer.
                Some(false) => {
                    let resource = lease.state.resource();
                    let (hash, options, admission) = (lease.hash, &*this.options, Admission::Again);
                    // Its time may be up.
                    let wait = if this.until.is_some_and(|until| now() >= until) { Wait::No } else { *this.wait };
                    match lease.shard.attempt(Attempt { resource, hash, options, wait, admission }) {
                        Err(error) => return Poll::Ready(Err(error)),
                        Ok(Outcome::Busy) => return Poll::Ready(Ok(None)),
                        Ok(Outcome::Granted(guard)) => return Poll::Ready(Ok(Some(guard))),
                        Ok(Outcome::Queued(lease, ticket)) => *this.place = Some((lease, ticket)),
                    }
                    continue;
                }
            }
            let (lease, ticket) = this.place.insert((lease, ticket));
            // Read once a turn: an end that passes meanwhile is one that the timer finds to have passed.
            let now = now();
            let ends = match lease.shard.look(lease, *ticket, cx.waker(), now) {
                Look::Wait(ends) => ends,
                Look::Again => continue,
                Look::Closed => {
                    *this.place = None;
                    return Poll::Ready(Err(LockError::Closed));
                }
            };
            if this.until.is_some_and(|until| now >= until) {
                if lease.shard.leave(lease, *ticket) {
                    *this.place = None;
                    return Poll::Ready(Ok(None));
                }
                continue; // Granted at the last moment.
            }
            // Without an end to wait for it looks again after its own TTL (M6).
            let again = ends.or_else(|| time_after(now, this.options.get_ttl()));
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
impl PinnedDrop for Waiting {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        let Some((lease, ticket)) = this.place.take() else { return };
        // Not in the queue any more: granted, and nobody came for it. Hand it on.
        if !lease.shard.leave(&lease, ticket) && !is(Mutant::DroppedWaiterKeepsGrantInMemory) {
            drop(lease.release());
        }
    }
}
