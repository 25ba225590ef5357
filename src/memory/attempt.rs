//! The ways to a lock: at once with a lease that its guard alone knows, at once with one that has an end, or into the
//! queue.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::Waker;

use super::entry::{Entry, Waiter};
use super::holder::Holder;
use super::lease::{MemoryLease, has_end, term};
use super::queue::Ticket;
use super::shard::Shard;
use super::sole::Sole;
use super::table::Arrival;
use super::wait::Waiting;
use crate::provider::{Acquiring, LeaseState, LockBackend, Wait};
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
    Queued(Arc<MemoryLease>, Ticket),
    Busy,
}

/// What came of entering the table.
enum Entered {
    Granted(FencingToken),
    Queued(Arc<MemoryLease>, Ticket),
    Busy,
}

impl LockBackend for Shard {
    fn acquire(self: Arc<Self>, resource: Resource, options: LockOptions, wait: Wait) -> Acquiring {
        let hash = self.hasher.hash_one(resource.as_str());
        if has_end(&options) {
            return self.acquire_slowly(&resource, hash, &options, wait);
        }
        // Written before the mutex is taken and not after it is free: what the guard is moved with has then been written
        // long ago, and the processor need not wait for it.
        let mut sole = Sole { resource, fence: FencingToken::saturating(0), hash, shard: self };
        let granted = sole.shard.table.lock().arrive_sole(hash, &sole.resource, options.get_ttl());
        let Some(fence) = granted else { return sole.shard.acquire_slowly(&sole.resource, hash, &options, wait) };
        sole.fence = fence;
        Acquiring::ready(Ok(Some(LockGuard::sole(sole))))
    }
}

impl Shard {
    /// Acquires a lock that somebody has, or with a lease that has an end. Apart, since the usual acquire is short.
    #[inline(never)]
    fn acquire_slowly(
        self: &Arc<Self>,
        resource: &Resource,
        hash: u64,
        options: &LockOptions,
        wait: Wait,
    ) -> Acquiring {
        match self.attempt(Attempt { resource, hash, options, wait, admission: Admission::New }) {
            Ok(Outcome::Granted(guard)) => Acquiring::ready(Ok(Some(guard))),
            Ok(Outcome::Busy) => Acquiring::ready(Ok(None)),
            Ok(Outcome::Queued(lease, ticket)) => Acquiring::pending(Waiting::new(lease, ticket, *options, wait)),
            Err(error) => Acquiring::ready(Err(error)),
        }
    }

    /// Grants the lock, or joins the queue if the caller would wait.
    pub(super) fn attempt(self: &Arc<Self>, attempt: Attempt<'_>) -> Result<Outcome, LockError> {
        if has_end(attempt.options) {
            return self.attempt_with_end(attempt);
        }
        let ttl = attempt.options.get_ttl();
        Ok(match self.enter(attempt, |_| Holder::Sole(ttl))? {
            Entered::Granted(fence) => {
                let sole =
                    Sole { resource: attempt.resource.clone(), fence, hash: attempt.hash, shard: Arc::clone(self) };
                Outcome::Granted(LockGuard::sole(sole))
            }
            Entered::Queued(lease, ticket) => Outcome::Queued(lease, ticket),
            Entered::Busy => Outcome::Busy,
        })
    }

    /// The same for a lease with an end, which its guard shares with the table from the beginning.
    fn attempt_with_end(self: &Arc<Self>, attempt: Attempt<'_>) -> Result<Outcome, LockError> {
        // Made before the mutex is taken, so that others do not wait for the clock.
        let term = term(attempt.options);
        let mut granted = None;
        let holder = |fence| {
            let state = LeaseState::held(attempt.resource.clone(), fence, term);
            let lease = Arc::new(MemoryLease { state, hash: attempt.hash, shard: Arc::clone(self) });
            Holder::Shared(Arc::clone(granted.insert(lease)))
        };
        let entered = self.enter(attempt, holder)?;
        Ok(match (entered, granted) {
            (Entered::Queued(lease, ticket), _) => Outcome::Queued(lease, ticket),
            (_, Some(lease)) => Outcome::Granted(LockGuard::new(lease)),
            (_, None) => Outcome::Busy,
        })
    }

    /// The critical section of an attempt: `holder` is asked for if the lock is free.
    fn enter(
        self: &Arc<Self>,
        attempt: Attempt<'_>,
        holder: impl FnOnce(FencingToken) -> Holder,
    ) -> Result<Entered, LockError> {
        let (queued, wake) = {
            let mut table = self.table.lock();
            if table.is_closed() {
                return Err(LockError::Closed);
            }
            match table.arrive(attempt.hash, attempt.resource, holder) {
                Arrival::Granted(fence) => return Ok(Entered::Granted(fence)),
                Arrival::Held(entry, ticket, wake) => (self.join(entry, ticket, attempt), wake),
            }
        };
        wake.wake();
        queued
    }

    /// Joins the queue for a name that somebody holds, unless it is not to wait.
    fn join(self: &Arc<Self>, entry: &mut Entry, ticket: Ticket, attempt: Attempt<'_>) -> Result<Entered, LockError> {
        let Attempt { hash, options, wait, admission, .. } = attempt;
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
        let state = LeaseState::pending(entry.resource.clone());
        let lease = Arc::new(MemoryLease { state, hash, shard: Arc::clone(self) });
        // Woken for nothing until the first poll leaves its waker; what happened by then shows in the lease.
        let waker = Waker::noop().clone();
        entry.join(ticket, Waiter { lease: Arc::clone(&lease), options: *options, waker, _seat: seat });
        Ok(Entered::Queued(lease, ticket))
    }
}
