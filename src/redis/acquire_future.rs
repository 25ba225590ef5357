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
use super::engine::{GiveUp, WaiterAdmission, minus_clock_drift};
use super::lease::RedisLease;
use crate::backend::{Lease, Wait, time_after};
use crate::{LockError, LockGuard, LockOptions, Resource};

/// What an acquire comes to.
type Acquired = Result<Option<LockGuard>, LockError>;

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
    place: Option<Place>,
    /// A lease was over before this caller took it up, and another one was asked for.
    was_late: bool,
    /// The provider's tasks are watched from this runtime.
    is_watched: bool,
    #[pin]
    timer: Option<Sleep>,
}

/// Where the answer comes; with a ticket, if it waits in line.
struct Place {
    waiter: Arc<AcquireSlot>,
    ticket: Option<u64>,
}

impl AcquireFuture {
    /// Begins an acquire; or its answer, if that is known at once.
    pub(super) fn begin(
        backend: Arc<Backend>,
        resource: Resource,
        options: LockOptions,
        wait: Wait,
    ) -> Result<Self, Acquired> {
        let until = match wait {
            // A time too far away to be written down is as long as it takes.
            Wait::AtMost(time) => time_after(Instant::now(), time),
            Wait::No | Wait::Forever => None,
        };
        let least =
            until.and_then(|_| time_after(Instant::now(), backend.locks().connection.settings().response_timeout));
        let changes = backend.locks().connection.changes();
        let place = Place::take(&backend, &resource, options, wait, WaiterAdmission::New)?;
        Ok(Self {
            backend,
            resource,
            options,
            wait,
            until,
            least,
            changes,
            place: Some(place),
            was_late: false,
            is_watched: false,
            timer: None,
        })
    }
}

impl Place {
    fn take(
        backend: &Arc<Backend>,
        resource: &Resource,
        options: LockOptions,
        wait: Wait,
        admission: WaiterAdmission,
    ) -> Result<Self, Acquired> {
        let waiter = AcquireSlot::new(options, Arc::clone(backend));
        let locks = backend.locks();
        match wait {
            Wait::No => match locks.try_at_once(resource, &waiter) {
                Ok(true) => Ok(Self { waiter, ticket: None }),
                Ok(false) => Err(Ok(None)),
                Err(error) => Err(Err(error)),
            },
            Wait::AtMost(_) | Wait::Forever => match locks.join(resource, &waiter, admission) {
                Ok(ticket) => Ok(Self { waiter, ticket: Some(ticket) }),
                Err(error) => Err(Err(error)),
            },
        }
    }
}

impl Future for AcquireFuture {
    type Output = Acquired;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Acquired> {
        let mut this = self.project();
        loop {
            let Some(place) = this.place.as_ref() else { return Poll::Pending };
            match place.waiter.poll(cx) {
                Poll::Ready(answer) => {
                    *this.place = None;
                    let lease = match answer {
                        AcquireResult::Granted(lease) => lease,
                        AcquireResult::Busy => return Poll::Ready(Ok(None)),
                        AcquireResult::Failed(error) => return Poll::Ready(Err(*error)),
                    };
                    if lease.take() {
                        return Poll::Ready(Ok(Some(LockGuard::new(lease))));
                    }
                    // Granted, and over before anybody came for it. Once more, if it may wait: whatever kept it may not
                    // keep it again. A lease that is too short for the way will be over again.
                    let error = taken_too_late(&lease, this.options);
                    drop(lease.release());
                    if *this.wait == Wait::No || std::mem::replace(this.was_late, true) {
                        return Poll::Ready(Err(error));
                    }
                    // Its time may be up.
                    let options = this.options.max_waiters(None);
                    let late = this.until.is_some_and(|until| Instant::now() >= until);
                    let wait = if late { Wait::No } else { *this.wait };
                    match Place::take(this.backend, this.resource, options, wait, WaiterAdmission::Again) {
                        Ok(place) => *this.place = Some(place),
                        Err(answer) => return Poll::Ready(answer),
                    }
                    continue;
                }
                // The runtime that served the provider until now may not be this one, and not be run any more.
                Poll::Pending if !*this.is_watched => {
                    *this.is_watched = true;
                    this.backend.locks().serve_from_here();
                }
                // Or have ended.
                Poll::Pending => this.backend.locks().serve(),
            }
            let (Some(until), Some(ticket)) = (*this.until, place.ticket) else { return Poll::Pending };
            let mut up_at = until;
            if Instant::now() >= until {
                // Replacing a connection takes a moment: a caller whose time is below the response time-out has that for
                // it, and for the answer.
                let now = Instant::now();
                if let Some(least) = this.least.filter(|least| *least > now)
                    && this.backend.locks().was_kept_from_its_answer(this.resource, *this.changes)
                {
                    *this.until = Some(least.min(now + LOOK_AGAIN));
                    continue;
                }
                match this.backend.locks().give_up(this.resource, ticket, &place.waiter, until) {
                    GiveUp::Answered => continue,
                    GiveUp::NotYet(again) => up_at = again,
                    GiveUp::Held => {
                        *this.place = None;
                        return Poll::Ready(Ok(None));
                    }
                    GiveUp::Unknown(error) => {
                        *this.place = None;
                        return Poll::Ready(Err(error));
                    }
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

/// The error of a caller that came for a lease when that was over.
fn taken_too_late(lease: &RedisLease, options: &LockOptions) -> LockError {
    let ttl = options.get_ttl();
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
        let Some(place) = this.place.take() else { return };
        if let Some(AcquireResult::Granted(lease)) = place.waiter.leave() {
            // Granted at that moment. Hand it on.
            drop(lease.release());
        }
        if let Some(ticket) = place.ticket {
            this.backend.locks().leave(this.resource, ticket, &place.waiter);
        }
    }
}

impl fmt::Debug for AcquireFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireFuture").field("resource", &self.resource).finish_non_exhaustive()
    }
}
