//! The ways to a lock: at once with a lease that its guard alone knows, at once with one that has an end, or into the
//! queue.

use std::cell::OnceCell;
use std::hash::BuildHasher;
use std::ops::DerefMut;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::entry::{Entry, Waiter};
use super::holder::Holder;
use super::lease::{MemoryLease, has_end, lasts_untaken, term};
use super::place::Place;
use super::queue::Ticket;
use super::shard::Shard;
use super::sole::Sole;
use super::table::{Arrival, Table};
use super::wait::Waiting;
use crate::provider::{Acquiring, LeaseState, LockBackend, Wait};
use crate::sync::now;
use crate::{FencingToken, LockError, LockGuard, LockOptions, Resource};

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) resource: &'a Resource,
    pub(super) hash: u64,
    pub(super) options: &'a LockOptions,
    pub(super) wait: Wait,
    pub(super) admission: Admission,
}

/// Whether somebody who has to wait is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
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
        let hash = self.hasher.hash_one(resource.as_str());
        // Written before the mutex is taken, and its fence before it is free: what the guard is moved with has then been
        // written long ago, and the processor need not wait for it.
        let mut sole = Sole { resource, fence: FencingToken::saturating(0), hash, shard: self };
        if has_end(&options) {
            return acquire_with_end(sole, options, wait);
        }
        let mut table = sole.shard.table.lock();
        if !table.arrive_sole(hash, &sole.resource, options.get_ttl(), &mut sole.fence) {
            let clock = OnceCell::new();
            let entered = sole.enter(table, &options, wait, &clock);
            return sole.wait(entered, options, wait, clock);
        }
        drop(table);
        Acquiring::ready(Ok(Some(LockGuard::sole(sole))))
    }
}

#[inline(never)]
fn acquire_with_end(to_be: Sole, options: LockOptions, wait: Wait) -> Acquiring {
    let clock = OnceCell::new();
    let (resource, hash, admission) = (&to_be.resource, to_be.hash, Admission::New);
    match to_be.shard.attempt_with_end(Attempt { resource, hash, options: &options, wait, admission }, &clock) {
        Ok(Outcome::Granted(guard)) => Acquiring::ready(Ok(Some(guard))),
        Ok(Outcome::Busy) => to_be.wait(Ok(Entered::Busy), options, wait, clock),
        Ok(Outcome::Queued(ticket)) => to_be.wait(Ok(Entered::Queued(ticket)), options, wait, clock),
        Err(error) => to_be.wait(Err(error), options, wait, clock),
    }
}

/// The rest of the way of an acquire that was not granted in the shortest way. Apart, since the usual one is short.
impl Sole {
    #[inline(never)]
    fn enter(
        &self,
        table: impl DerefMut<Target = Table>,
        options: &LockOptions,
        wait: Wait,
        clock: &OnceCell<Instant>,
    ) -> Result<Entered, LockError> {
        let attempt = Attempt { resource: &self.resource, hash: self.hash, options, wait, admission: Admission::New };
        self.shard.enter(table, attempt, |_| Holder::Sole(options.get_ttl()), clock)
    }

    #[inline(never)]
    fn wait(
        mut self,
        entered: Result<Entered, LockError>,
        options: LockOptions,
        wait: Wait,
        clock: OnceCell<Instant>,
    ) -> Acquiring {
        match entered {
            Ok(Entered::Queued(ticket)) => {
                let place = Place { resource: self.resource, hash: self.hash, ticket, shard: self.shard };
                Acquiring::pending(Waiting::new(place, options, wait, clock))
            }
            Ok(Entered::Granted(fence)) => {
                self.fence = fence;
                Acquiring::ready(Ok(Some(LockGuard::sole(self))))
            }
            Ok(Entered::Busy) => Acquiring::ready(Ok(None)),
            Err(error) => Acquiring::ready(Err(error)),
        }
    }
}

impl Shard {
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
        let ttl = attempt.options.get_ttl();
        Ok(match self.enter(self.table.lock(), attempt, |_| Holder::Sole(ttl), clock)? {
            Entered::Granted(fence) => {
                let resource = attempt.resource.clone();
                Outcome::Granted(LockGuard::sole(Sole { resource, fence, hash: attempt.hash, shard: Arc::clone(self) }))
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
            Admission::New if options.get_max_waiters().is_some_and(|most| entry.waiters() >= most) => {
                return Err(LockError::TooManyWaiters);
            }
            Admission::New => self.room.enter().ok_or(LockError::TooManyWaitersInTotal)?,
            Admission::Again => self.room.enter_again(),
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
