//! The ways to a lock: at once with a lease that its guard alone knows, at once with one that has an end, or into the
//! queue.

use std::cell::OnceCell;
use std::ops::DerefMut;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::acquire_future::AcquireFuture;
use super::entry::{Entry, Waiter};
use super::hash::NameHash;
use super::holder::Holder;
use super::inline_lease::{InlineLease, State};
use super::lease::{MemoryLease, has_end, lasts_untaken, term};
use super::queue_position::QueuePosition;
use super::shard::Shard;
use super::table::{Arrival, Table};
use super::wait_queue::Ticket;
use crate::backend::{Acquired, Acquiring, BoxFuture, LeaseState, LockBackend, Wait};
use crate::sync::now;
use crate::{FencingToken, LockError, LockGuard, LockOptions, Resource};

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) resource: &'a Resource,
    pub(super) hash: NameHash,
    pub(super) options: &'a LockOptions,
    pub(super) wait: Wait,
    pub(super) admission: WaiterAdmission,
}

/// Whether somebody who has to wait is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaiterAdmission {
    /// If there is room.
    New,
    /// In any case: it was let in long ago, whatever the queue is like by now.
    Again,
}

/// What came of an attempt.
pub(super) enum Outcome {
    Granted(LockGuard),
    Queued(Ticket),
    Busy,
}

/// What came of entering the table.
enum Entered {
    Granted(FencingToken),
    Queued(Ticket),
    Busy,
}

impl LockBackend for Shard {
    fn acquire(self: Arc<Self>, resource: Resource, options: LockOptions, wait: Wait) -> Acquiring {
        let mut answer = Ok(None);
        match self.acquire_into(&resource, &options, wait, &mut answer) {
            None => Acquiring::ready(answer),
            Some(waiting) => Acquiring::from(waiting),
        }
    }

    fn acquire_into(
        self: Arc<Self>,
        resource: &Resource,
        options: &LockOptions,
        wait: Wait,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        let hash = NameHash::of(resource, &self.hasher);
        let attempt = Attempt { resource, hash, options, wait, admission: WaiterAdmission::New };
        if has_end(options) {
            let clock = OnceCell::new();
            let outcome = self.attempt_with_end(attempt, &clock);
            return self.answer_or_wait(outcome, attempt, clock, answer);
        }
        // Written where it stays before the mutex is taken, and all that the grant adds before it is free: the processor
        // has then written what the guard is moved with, and need not wait for it.
        let sole = LockGuard::sole_in(answer, InlineLease::to_be(resource.clone(), hash, self))?;
        let mut table = sole.shard.table.lock();
        if table.arrive_sole(hash, resource, options.configured_ttl(), &mut sole.fence) {
            sole.state = State::Granted;
            return None;
        }
        let (shard, clock) = (Arc::clone(&sole.shard), OnceCell::new());
        let outcome = shard.enter_alone(table, attempt, &clock);
        shard.answer_or_wait(outcome, attempt, clock, answer)
    }
}

impl Shard {
    /// Puts the answer into its place, or returns the future that waits for it.
    #[inline(never)]
    fn answer_or_wait(
        self: Arc<Self>,
        outcome: Result<Outcome, LockError>,
        attempt: Attempt<'_>,
        clock: OnceCell<Instant>,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        let Attempt { resource, hash, options, wait, .. } = attempt;
        let mut waiting: Option<BoxFuture<'static, Acquired>> = None;
        *answer = outcome.map(|outcome| match outcome {
            Outcome::Granted(guard) => Some(guard),
            Outcome::Busy => None,
            Outcome::Queued(ticket) => {
                let place = QueuePosition { resource: resource.clone(), hash, ticket, shard: self };
                waiting = Some(Box::pin(AcquireFuture::new(place, *options, wait, clock)));
                None
            }
        });
        waiting
    }

    /// Grants the lock, or joins the queue if the caller would wait. Whoever is granted a lease with an end has asked for
    /// the time, and `clock` tells it.
    pub(super) fn attempt(
        self: &Arc<Self>,
        attempt: Attempt<'_>,
        clock: &OnceCell<Instant>,
    ) -> Result<Outcome, LockError> {
        if has_end(attempt.options) {
            return self.attempt_with_end(attempt, clock);
        }
        self.enter_alone(self.table.lock(), attempt, clock)
    }

    /// The critical section for a lease that its guard alone knows.
    #[inline(never)]
    fn enter_alone(
        self: &Arc<Self>,
        table: impl DerefMut<Target = Table>,
        attempt: Attempt<'_>,
        clock: &OnceCell<Instant>,
    ) -> Result<Outcome, LockError> {
        Ok(match self.enter(table, attempt, |_| Holder::InlineLease(attempt.options.configured_ttl()), clock)? {
            Entered::Granted(fence) => {
                let resource = attempt.resource.clone();
                Outcome::Granted(LockGuard::sole(InlineLease::granted(resource, fence, attempt.hash, Arc::clone(self))))
            }
            Entered::Queued(ticket) => Outcome::Queued(ticket),
            Entered::Busy => Outcome::Busy,
        })
    }

    /// The same for a lease with an end, which its guard shares with the table from the beginning.
    fn attempt_with_end(
        self: &Arc<Self>,
        attempt: Attempt<'_>,
        clock: &OnceCell<Instant>,
    ) -> Result<Outcome, LockError> {
        // Made before the mutex is taken, so that others do not wait for the clock.
        let term = term(attempt.options, *clock.get_or_init(now));
        let mut granted = None;
        let holder = |fence| {
            let state = LeaseState::held(attempt.resource.clone(), fence, term);
            let lease = Arc::new(MemoryLease { state, hash: attempt.hash, shard: Arc::clone(self) });
            Holder::Shared(Arc::clone(granted.insert(lease)))
        };
        let entered = self.enter(self.table.lock(), attempt, holder, &OnceCell::new())?;
        Ok(match (entered, granted) {
            (Entered::Queued(ticket), _) => Outcome::Queued(ticket),
            (_, Some(lease)) => Outcome::Granted(LockGuard::new(lease)),
            (_, None) => Outcome::Busy,
        })
    }

    /// The critical section of an attempt, from the mutex's being taken: `holder` is asked for if the lock is free.
    fn enter(
        &self,
        mut table: impl DerefMut<Target = Table>,
        attempt: Attempt<'_>,
        holder: impl FnOnce(FencingToken) -> Holder,
        clock: &OnceCell<Instant>,
    ) -> Result<Entered, LockError> {
        if table.is_closed() {
            return Err(LockError::Closed);
        }
        let (entered, wake) = match table.arrive(attempt.hash, attempt.resource, holder, clock) {
            Arrival::Granted(fence) => return Ok(Entered::Granted(fence)),
            Arrival::Held(entry, ticket, wake) => (self.join(entry, ticket, attempt), wake),
        };
        drop(table);
        wake.wake();
        entered
    }

    /// Joins the queue for a name that somebody holds, unless it is not to wait.
    fn join(&self, entry: &mut Entry, ticket: Ticket, attempt: Attempt<'_>) -> Result<Entered, LockError> {
        let Attempt { options, wait, admission, .. } = attempt;
        if wait == Wait::No {
            return Ok(Entered::Busy);
        }
        let seat = match admission {
            WaiterAdmission::New if options.configured_max_waiters().is_some_and(|most| entry.waiters() >= most) => {
                return Err(LockError::TooManyWaiters);
            }
            WaiterAdmission::New => self.room.enter().ok_or(LockError::TooManyWaitersInTotal)?,
            WaiterAdmission::Again => self.room.enter_again(),
        };
        entry.join(
            ticket,
            Waiter {
                lasts: lasts_untaken(options),
                has_end: has_end(options),
                // Woken for nothing until the first poll leaves its waker, and finds what happened by then.
                waker: Waker::noop().clone(),
                _seat: seat,
            },
        );
        Ok(Entered::Queued(ticket))
    }
}
