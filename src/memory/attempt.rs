//! [`Attempt`]: one try for a lock. It is granted at once, with a lease that only its guard refers to or with one that is
//! shared from the start, or it joins the wait queue.

use std::cell::OnceCell;
use std::ops::DerefMut;
use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use crate::backend::in_process::{
    AcquireOutcome, Entry, Grant, Holder, InProcessLease, NameHash, Shard, Table, Ticket, Waiter, has_end, is_plain,
    unclaimed_lease,
};
use crate::backend::{GrantedLease, WaiterAdmission};
use crate::sync::now;
use crate::types::Wait;
use crate::{FencingToken, LockError, LockOptions, Resource};

/// One try of a caller for a lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) resource: &'a Resource,
    pub(super) hash: NameHash,
    pub(super) options: &'a LockOptions,
    pub(super) wait: Wait,
    pub(super) admission: WaiterAdmission,
}

/// The result of an attempt.
pub(super) enum Outcome {
    Granted(GrantedLease),
    Queued(Ticket),
    Busy,
}

/// The result of the critical section of an attempt.
enum Entered {
    Granted(FencingToken),
    Queued(Ticket),
    Busy,
}

impl Shard {
    /// Grants the lock, or joins the queue if the caller waits. `clock` is read if the grant or the check of the holder
    /// needs the time.
    pub(super) fn attempt(
        self: &Arc<Self>,
        attempt: Attempt<'_>,
        clock: &OnceCell<Instant>,
    ) -> Result<Outcome, LockError> {
        if !is_plain(attempt.options) {
            return self.attempt_shared(attempt, clock);
        }
        self.enter_in_process(self.table.lock(), attempt, clock)
    }

    /// The attempt for a lease that only its guard refers to.
    #[inline(never)]
    pub(super) fn enter_in_process(
        self: &Arc<Self>,
        table: impl DerefMut<Target = Table>,
        attempt: Attempt<'_>,
        clock: &OnceCell<Instant>,
    ) -> Result<Outcome, LockError> {
        Ok(match self.enter(table, attempt, |_| Holder::InProcess(attempt.options.configured_ttl()), clock)? {
            Entered::Granted(fence) => {
                let resource = attempt.resource.clone();
                let shard = Arc::clone(self);
                Outcome::Granted(GrantedLease::in_process(InProcessLease::granted(
                    resource,
                    fence,
                    attempt.hash,
                    shard,
                )))
            }
            Entered::Queued(ticket) => Outcome::Queued(ticket),
            Entered::Busy => Outcome::Busy,
        })
    }

    /// The attempt for a lease that its guard shares with the table from the start.
    fn attempt_shared(self: &Arc<Self>, attempt: Attempt<'_>, clock: &OnceCell<Instant>) -> Result<Outcome, LockError> {
        // The clock is read before the mutex is taken, so that other threads do not wait for it.
        let since = *clock.get_or_init(now);
        let mut granted = None;
        let holder = |grant| {
            let lease = self.lease_of(grant, attempt.resource, attempt.hash, attempt.options, since);
            Holder::Shared(Arc::clone(granted.insert(lease)))
        };
        let entered = self.enter(self.table.lock(), attempt, holder, &OnceCell::new())?;
        Ok(match (entered, granted) {
            (Entered::Queued(ticket), _) => Outcome::Queued(ticket),
            (_, Some(lease)) => Outcome::Granted(lease.into()),
            (_, None) => Outcome::Busy,
        })
    }

    /// The critical section of an attempt, once the mutex is locked. `holder` is called if the lock is free.
    fn enter(
        &self,
        mut table: impl DerefMut<Target = Table>,
        attempt: Attempt<'_>,
        holder: impl FnOnce(Grant) -> Holder,
        clock: &OnceCell<Instant>,
    ) -> Result<Entered, LockError> {
        if table.is_closed() {
            return Err(LockError::Closed);
        }
        let mode = attempt.options.configured_mode();
        let (entered, wake) = match table.acquire(attempt.hash, attempt.resource, mode, holder, clock) {
            AcquireOutcome::Granted(fence) => return Ok(Entered::Granted(fence)),
            AcquireOutcome::Beside(fence, wake) => (Ok(Entered::Granted(fence)), wake),
            AcquireOutcome::Held(entry, ticket, wake) => (self.join(entry, ticket, attempt), wake),
        };
        drop(table);
        wake.wake();
        entered
    }

    /// Joins the wait queue of a held lock, unless the caller does not wait.
    fn join(&self, entry: &mut Entry, ticket: Ticket, attempt: Attempt<'_>) -> Result<Entered, LockError> {
        let Attempt { options, wait, admission, .. } = attempt;
        if wait == Wait::No {
            return Ok(Entered::Busy);
        }
        let permit = match admission {
            WaiterAdmission::New if options.configured_max_waiters().is_some_and(|max| entry.waiters() >= max) => {
                return Err(LockError::TooManyWaiters);
            }
            WaiterAdmission::New => self.waiter_limit.enter().ok_or(LockError::TooManyWaitersInTotal)?,
            WaiterAdmission::Again => self.waiter_limit.enter_again(),
        };
        entry.join(
            ticket,
            Waiter {
                mode: options.configured_mode(),
                unclaimed_lease: unclaimed_lease(options),
                has_end: has_end(options),
                // The first poll leaves the task's waker, and finds what has happened by then.
                waker: Waker::noop().clone(),
                _permit: permit,
            },
        );
        Ok(Entered::Queued(ticket))
    }
}
