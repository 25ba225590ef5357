//! [`AcquireFuture`]: the future of a caller who wants a lock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::{pin_project, pinned_drop};
use tokio::time::{Instant, Sleep, sleep_until};

use super::acquire_slot::{AcquireResult, AcquireSlot};
use super::backend::Backend;
use super::lease::RedisLease;
use crate::backend::{Acquired, Lease, WaiterAdmission, tell_lease_left};
use crate::engine::{Event, minus_clock_drift};
use crate::types::{Wait, time_after};
use crate::{LockError, LockOptions, LockRequest, Resource};

/// How often a caller whose time is up looks whether the connection is still being replaced.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits for the answer, until the caller's time is up.
#[pin_project(PinnedDrop)]
pub(super) struct AcquireFuture {
    backend: Arc<Backend>,
    resource: Resource,
    options: LockOptions,
    wait: Wait,
    until: Option<Instant>,
    /// Until when it waits at least while a connection is being replaced.
    least: Option<Instant>,
    /// How often the connection had been replaced when it began.
    changes: usize,
    attempt: Option<Attempt>,
    /// A lease was over before this caller took it up, and another one was asked for.
    was_late: bool,
    /// The provider's tasks are watched from this runtime.
    is_watched: bool,
    #[pin]
    timer: Option<Sleep>,
}

/// Where the answer comes; with a ticket, if the caller waits in the queue.
struct Attempt {
    waiter: Arc<AcquireSlot<Backend>>,
    ticket: Option<u64>,
}

impl AcquireFuture {
    /// Begins an acquire; or its answer, if it is refused at once.
    pub(super) fn begin(backend: Arc<Backend>, request: LockRequest) -> Result<Self, Acquired> {
        let (options, wait) = (*request.configured_options(), request.configured_wait());
        let resource = request.into_resource();
        let until = match wait {
            // A time too far away to be written down is as long as it takes.
            Wait::AtMost(time) => time_after(Instant::now(), time),
            Wait::No | Wait::Forever => None,
        };
        let connection = &backend.driver().connection;
        let least = until.and_then(|_| time_after(Instant::now(), connection.settings().response_timeout));
        let changes = connection.changes();
        let attempt = Attempt::begin(&backend, &resource, options, wait, WaiterAdmission::New);
        match attempt.waiter.take_refusal() {
            Some(AcquireResult::Failed(error)) => return Err(Err(*error)),
            Some(_) => return Err(Ok(None)),
            None => {}
        }
        let (attempt, was_late, is_watched, timer) = (Some(attempt), false, false, None);
        Ok(Self { backend, resource, options, wait, until, least, changes, attempt, was_late, is_watched, timer })
    }
}

impl Attempt {
    fn begin(
        backend: &Arc<Backend>,
        resource: &Resource,
        options: LockOptions,
        wait: Wait,
        admission: WaiterAdmission,
    ) -> Self {
        let waiter = AcquireSlot::new(options, Arc::clone(backend));
        let mut ticket = None;
        let event = match wait {
            Wait::No => Event::TryNow { waiter: &waiter },
            Wait::AtMost(_) | Wait::Forever => Event::Join { waiter: &waiter, admission, ticket: &mut ticket },
        };
        backend.driver().handle(resource, event);
        Self { waiter, ticket }
    }
}

impl Future for AcquireFuture {
    type Output = Acquired;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired> {
        let mut this = self.project();
        loop {
            let Some(attempt) = this.attempt.as_ref() else { return Poll::Pending };
            match attempt.waiter.poll(cx) {
                Poll::Ready(answer) => {
                    *this.attempt = None;
                    let lease = match answer {
                        AcquireResult::Granted(lease) => lease,
                        AcquireResult::Busy { lease_left } => {
                            if let Some(left) = lease_left {
                                tell_lease_left(left.get(), this.options.configured_ttl());
                            }
                            return Poll::Ready(Ok(None));
                        }
                        AcquireResult::Failed(error) => return Poll::Ready(Err(*error)),
                    };
                    if lease.take() {
                        return Poll::Ready(Ok(Some(lease.into())));
                    }
                    // Granted, and over before the caller took it up. Once more, if it may wait: what delayed it may not do
                    // so again. A lease that is too short for the way will be over again.
                    let error = taken_too_late(&lease, this.options);
                    drop(lease.release());
                    if *this.wait == Wait::No || std::mem::replace(this.was_late, true) {
                        return Poll::Ready(Err(error));
                    }
                    // Its time may be up.
                    let options = this.options.max_waiters(None);
                    let late = this.until.is_some_and(|until| Instant::now() >= until);
                    let wait = if late { Wait::No } else { *this.wait };
                    let again = Attempt::begin(this.backend, this.resource, options, wait, WaiterAdmission::Again);
                    *this.attempt = Some(again);
                    continue;
                }
                // The runtime that served the provider until now may not be this one, and not be run any more.
                Poll::Pending if !*this.is_watched => {
                    *this.is_watched = true;
                    this.backend.driver().serve_from_here();
                }
                // Or have ended.
                Poll::Pending => this.backend.driver().serve(),
            }
            let (Some(until), Some(ticket)) = (*this.until, attempt.ticket) else { return Poll::Pending };
            let now = Instant::now();
            let mut up_at = until;
            if now >= until {
                // Replacing a connection takes a moment: a caller whose time is below the response time-out has that for
                // it, and for the answer.
                if let Some(least) = this.least.filter(|least| *least > now)
                    && this.backend.driver().was_kept_from_its_answer(this.resource, *this.changes)
                {
                    *this.until = Some(least.min(now + LOOK_AGAIN));
                    continue;
                }
                let mut again = None;
                let event = Event::TimeIsUp { ticket, waiter: &attempt.waiter, until, again: &mut again };
                this.backend.driver().handle(this.resource, event);
                match again {
                    Some(again) => up_at = again,
                    // Answered; or another thread is about to do it, which then wakes this task.
                    None if attempt.waiter.is_answered() => continue,
                    None => return Poll::Pending,
                }
            }
            if this.timer.is_none() {
                this.timer.set(Some(sleep_until(up_at)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
                // The timer counts in milliseconds and may be early by a part of one: then it is set anew.
                this.timer.set(None);
            }
        }
    }
}

/// The error of a caller that took its lease up when that was over.
fn taken_too_late(lease: &RedisLease<Backend>, options: &LockOptions) -> LockError {
    let ttl = options.configured_ttl();
    let asked = lease.state().ends().and_then(|ends| ends.checked_sub(minus_clock_drift(ttl)));
    let took = asked.map_or(Duration::ZERO, |asked| asked.elapsed()).as_millis();
    LockError::unavailable(format!(
        "the lease of {ttl:?} was over when the caller took it up, {took} ms after the server was asked for it (the round \
         trip, and until the caller's task ran): use a longer ttl"
    ))
}

#[pinned_drop]
impl PinnedDrop for AcquireFuture {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        let Some(attempt) = this.attempt.take() else { return };
        if let Some(AcquireResult::Granted(lease)) = attempt.waiter.leave() {
            // Granted at that moment. Hand it on.
            drop(lease.release());
        }
        if let Some(ticket) = attempt.ticket {
            this.backend.driver().handle(this.resource, Event::Leave { ticket });
        }
    }
}

impl fmt::Debug for AcquireFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireFuture").field("resource", &self.resource).finish_non_exhaustive()
    }
}
