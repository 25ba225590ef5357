//! [`AcquireFuture`]: the future of a caller that wants a lock.

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
use crate::backend::{Acquired, BoxFuture, GrantedLease, Lease, WaiterAdmission, tell_lease_left};
use crate::engine::Event;
use crate::types::{Wait, time_after};
use crate::{LockError, LockOptions, LockRequest, Resource};

/// How often a caller whose wait is over checks whether the connection is still being replaced.
const RECHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Waits for the result of an acquire, until the wait is over.
#[pin_project(PinnedDrop)]
pub(super) struct AcquireFuture {
    backend: Arc<Backend>,
    resource: Resource,
    options: LockOptions,
    wait: Wait,
    deadline: Option<Instant>,
    /// While a connection is being replaced, the caller waits at least until this time.
    min_deadline: Option<Instant>,
    /// How often the connection had been replaced when the acquire began.
    connection_changes: usize,
    attempt: Option<Attempt>,
    /// A grant that counts once replicas have it.
    confirming: Option<Box<Confirming>>,
    /// One lease had ended before this caller took it, and a second one was requested.
    was_late: bool,
    /// The provider's tasks are watched from this runtime, in case they run in another one.
    watches_runtimes: bool,
    #[pin]
    timer: Option<Sleep>,
}

struct Confirming {
    /// Dropped without a guard, it is released.
    lease: GrantedLease,
    granted: Arc<RedisLease<Backend>>,
    confirmed: BoxFuture<'static, Result<(), LockError>>,
}

/// One request to the engine. It has a ticket if the caller waits in the local wait queue.
struct Attempt {
    waiter: Arc<AcquireSlot<Backend>>,
    ticket: Option<u64>,
}

impl AcquireFuture {
    /// Begins an acquire. `Err` is its result, if it is refused at once.
    pub(super) fn begin(backend: Arc<Backend>, request: LockRequest) -> Result<Self, Acquired> {
        let (options, wait) = (*request.configured_options(), request.configured_wait());
        let resource = request.into_resource();
        let now = Instant::now();
        let deadline = match wait {
            // A time that `Instant` cannot represent is no deadline.
            Wait::AtMost(time) => time_after(now, time),
            Wait::No | Wait::Forever => None,
        };
        let driver = backend.driver();
        let min_deadline = deadline.and_then(|_| time_after(now, driver.settings().response_timeout));
        let connection_changes = driver.changes(&resource);
        let attempt = Attempt::begin(&backend, &resource, options, wait, WaiterAdmission::New);
        match attempt.waiter.take_refusal() {
            Some(AcquireResult::Failed(error)) => return Err(Err(*error)),
            Some(_) => return Err(Ok(None)),
            None => {}
        }
        let (attempt, was_late, watches_runtimes, timer) = (Some(attempt), false, false, None);
        Ok(Self {
            backend,
            resource,
            options,
            wait,
            deadline,
            min_deadline,
            connection_changes,
            attempt,
            confirming: None,
            was_late,
            watches_runtimes,
            timer,
        })
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
            if let Some(confirming) = this.confirming.as_mut() {
                let confirmed = ready!(confirming.confirmed.as_mut().poll(cx));
                if confirmed.is_err() {
                    confirming.granted.keep_nothing();
                }
                let lease = this.confirming.take().map(|confirming| confirming.lease);
                let is_over = lease.as_ref().is_none_or(|lease| !lease.is_held());
                return Poll::Ready(match confirmed {
                    Ok(()) if is_over => {
                        Err(LockError::unavailable("the lease ended while its replicas were waited for"))
                    }
                    Ok(()) => Ok(lease),
                    Err(error) => Err(error),
                });
            }
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
                        let (confirmed, granted) = (this.backend.confirm(&lease), Arc::clone(&lease));
                        let lease = GrantedLease::from(lease);
                        let Some(confirmed) = confirmed else { return Poll::Ready(Ok(Some(lease))) };
                        *this.confirming = Some(Box::new(Confirming { lease, granted, confirmed }));
                        continue;
                    }
                    // The lease was granted, and had ended before the caller took it. A caller that waits tries once
                    // more, since the delay may not occur again. If the lease is shorter than the round trip, it fails
                    // then.
                    let error = lease_over_error(&lease, this.options);
                    drop(lease.release());
                    if *this.wait == Wait::No || std::mem::replace(this.was_late, true) {
                        return Poll::Ready(Err(error));
                    }
                    // The deadline may have passed meanwhile.
                    let options = this.options.max_waiters(None);
                    let late = this.deadline.is_some_and(|deadline| Instant::now() >= deadline);
                    let wait = if late { Wait::No } else { *this.wait };
                    let again = Attempt::begin(this.backend, this.resource, options, wait, WaiterAdmission::Again);
                    *this.attempt = Some(again);
                    continue;
                }
                // Another runtime may drive the provider, and that runtime may hang.
                Poll::Pending if !*this.watches_runtimes => {
                    *this.watches_runtimes = true;
                    this.backend.driver().serve_from_here();
                }
                // The runtime that drives the provider may have ended.
                Poll::Pending => this.backend.driver().serve(),
            }
            let (Some(deadline), Some(ticket)) = (*this.deadline, attempt.ticket) else { return Poll::Pending };
            let now = Instant::now();
            let mut wake_at = deadline;
            if now >= deadline {
                // Replacing a connection takes a moment. A caller whose time-out is shorter than the response time-out
                // waits for up to a response time-out then, for the new connection and the reply.
                if let Some(min_deadline) = this.min_deadline.filter(|min_deadline| *min_deadline > now)
                    && this.backend.driver().was_kept_from_its_answer(this.resource, *this.connection_changes)
                {
                    *this.deadline = Some(min_deadline.min(now + RECHECK_INTERVAL));
                    continue;
                }
                let mut again = None;
                let event = Event::TimeIsUp { ticket, waiter: &attempt.waiter, until: deadline, again: &mut again };
                this.backend.driver().handle(this.resource, event);
                match again {
                    Some(again) => wake_at = again,
                    // The result is there, or another thread is about to store it and then wakes this task.
                    None if attempt.waiter.is_answered() => continue,
                    None => return Poll::Pending,
                }
            }
            if this.timer.is_none() {
                this.timer.set(Some(sleep_until(wake_at)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
                // The timer has a resolution of a millisecond and may be early by less than one. Then it is set again.
                this.timer.set(None);
            }
        }
    }
}

/// The error of a caller whose lease had ended before the caller took it.
fn lease_over_error(lease: &RedisLease<Backend>, options: &LockOptions) -> LockError {
    let ttl = options.configured_ttl();
    let over_for = lease.state().ends().map_or(Duration::ZERO, |ends| ends.elapsed()).as_millis();
    LockError::unavailable(format!(
        "the lease had been over for {over_for} ms when the caller took it up (the round trip to the server, and until the \
         caller's task ran, took longer than the lease): use a longer ttl than {ttl:?}"
    ))
}

#[pinned_drop]
impl PinnedDrop for AcquireFuture {
    fn drop(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(confirming) = this.confirming.take() {
            confirming.granted.keep_nothing();
        }
        let Some(attempt) = this.attempt.take() else { return };
        if let Some(AcquireResult::Granted(lease)) = attempt.waiter.leave() {
            // The lock was granted at the same time. Release it, so that the next waiter gets it.
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
