//! [`Shard`]: the locks that one mutex guards.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use hashbrown::DefaultHashBuilder;
use tokio::time::Instant;

use super::LockInfo;
use super::lease::{MemoryLease, term};
use super::queue::Ticket;
use super::table::{Arrival, Entry, Left, Table, Waiter, Wake};
use super::wait::Waiting;
use crate::provider::{Acquiring, DEFAULT_MOST, LeaseState, LockBackend, Release, Wait, WaitingRoom, Wakers};
use crate::sync::{Mutex, now};
use crate::{LockError, LockGuard, LockOptions, Resource};

/// One part of a provider's locks. Every step on a lock is one critical section of its shard's mutex, which
/// is never held while something is woken, polled or dropped that is not ours.
///
/// Each shard has its own reference count, so that threads on different names do not meet there either.
#[derive(Debug)]
#[repr(align(128))] // Two shards never share a cache line, nor a pair of lines that is fetched together.
pub(super) struct Shard {
    table: Mutex<Table>,
    hasher: DefaultHashBuilder,
    /// Shared by all shards, and asked only by whoever has to wait.
    room: Arc<WaitingRoom>,
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
pub(super) enum Attempt {
    Granted(Arc<MemoryLease>),
    Queued(Arc<MemoryLease>, Ticket),
    Busy,
}

impl Shard {
    /// One with a waiting room of its own.
    pub(super) fn new(hasher: DefaultHashBuilder, first_fence: u64) -> Self {
        Self { table: Mutex::new(Table::new(first_fence)), hasher, room: WaitingRoom::new(DEFAULT_MOST) }
    }

    /// The same with a room that others share.
    pub(super) fn in_room(self, room: &Arc<WaitingRoom>) -> Self {
        Self { room: Arc::clone(room), ..self }
    }

    /// Grants the lock, or joins the queue if `wait` allows.
    pub(super) fn attempt(
        self: Arc<Self>,
        resource: Resource,
        options: &LockOptions,
        wait: Wait,
        admission: Admission,
    ) -> Result<Attempt, LockError> {
        let hash = self.hasher.hash_one(resource.as_str());
        // Made before the mutex is taken, so that others do not wait for the memory and the clock.
        let term = term(options);
        let ends = term.ends();
        let lease = Arc::new(MemoryLease { state: LeaseState::unseen(resource, term), hash, shard: self });
        let (queued, wake) = {
            let mut table = lease.shard.table.lock();
            if table.is_closed() {
                return Err(LockError::Closed);
            }
            match table.arrive(&lease, ends) {
                Arrival::Granted => (None, Wake::default()),
                Arrival::Held(entry, ticket, wake) => {
                    (Some(lease.shard.join(entry, &lease, ticket, options, wait, admission)), wake)
                }
            }
        };
        let Some(queued) = queued else { return Ok(Attempt::Granted(lease)) };
        wake.wake();
        Ok(queued?.map_or(Attempt::Busy, |ticket| Attempt::Queued(lease, ticket)))
    }

    /// Joins the queue for a name that somebody holds. `None` if it is not to wait.
    fn join(
        &self,
        entry: &mut Entry,
        lease: &Arc<MemoryLease>,
        ticket: Ticket,
        options: &LockOptions,
        wait: Wait,
        admission: Admission,
    ) -> Result<Option<Ticket>, LockError> {
        if wait == Wait::No {
            return Ok(None);
        }
        let seat = match admission {
            Admission::New if options.get_max_waiters().is_some_and(|most| entry.waiters() >= most) => {
                return Err(LockError::TooManyWaiters);
            }
            Admission::New => self.room.enter().ok_or(LockError::TooManyWaitersInTotal)?,
            Admission::Again => self.room.enter_again(),
        };
        // Woken for nothing until the first poll leaves its waker; what happened by then shows in the lease.
        let waker = Waker::noop().clone();
        entry.join(ticket, Waiter { lease: Arc::clone(lease), options: *options, waker, _seat: seat });
        Ok(Some(ticket))
    }

    /// Looks after a waiter: replaces an ended holder, and says until when there is nothing to be done.
    pub(super) fn look(&self, lease: &MemoryLease, ticket: Ticket, waker: &Waker, now: Instant) -> Look {
        let (look, replaced, wake) = {
            let mut table = self.table.lock();
            if table.is_closed() {
                return Look::Closed;
            }
            match table.settle(lease, now) {
                (Some(entry), wake) if lease.state.is_pending() => {
                    let replaced = entry.set_waker(ticket, waker);
                    // Only the first waiter minds the end of the holder's lease (M6).
                    let ends = if entry.is_first(ticket) { entry.holder().state.ends() } else { None };
                    (Look::Wait(ends), replaced, wake)
                }
                (_, wake) => (Look::Again, None, wake),
            }
        };
        wake.wake();
        drop(replaced);
        look
    }

    /// Gives up a place in the queue. `false` if it was not there: the lock has been granted.
    pub(super) fn leave(&self, lease: &MemoryLease, ticket: Ticket) -> bool {
        let left = self.table.lock().leave(lease, ticket);
        left.map(Left::wake).is_some()
    }

    /// Ends a lease and hands the lock on.
    pub(super) fn release(&self, lease: &MemoryLease) -> Release {
        let (release, wake) = {
            let mut table = self.table.lock();
            // Inside the critical section, so that nobody finds an entry whose holder was released (M2).
            let release = lease.state.release_alone();
            (release, table.succeed(lease))
        };
        wake.wake();
        release
    }

    /// Gives a lease another length from now on.
    pub(super) fn extend(&self, lease: &MemoryLease, duration: Duration) -> bool {
        let wake = {
            let mut table = self.table.lock();
            let now = now();
            if !lease.state.renew(now, now, duration) {
                return false;
            }
            // The end may have moved nearer (M6).
            table.get(lease.hash, lease.state.resource()).map(|entry| entry.wake_first())
        };
        wake.unwrap_or_default().wake();
        true
    }

    /// Ends every lease and every wait.
    pub(super) fn close(&self) {
        let (told, leases, wakers) = {
            let mut table = self.table.lock();
            let now = now();
            let (leases, wakers): (Vec<_>, Vec<_>) = table.close().into_iter().flat_map(Entry::into_leases).unzip();
            // Inside the critical section, as every change of a lease without an end; and every lock is let go before
            // anybody is told.
            let told: Vec<_> = leases.iter().filter_map(|lease| lease.state.lose_untold(now)).collect();
            (told, leases, wakers)
        };
        drop(leases);
        told.into_iter().for_each(Wakers::tell_of_loss);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.table.lock().is_closed()
    }

    pub(super) fn len(&self) -> usize {
        self.table.lock().len()
    }

    pub(super) fn inspect(&self, resource: &Resource) -> Option<LockInfo> {
        let hash = self.hasher.hash_one(resource.as_str());
        self.table.lock().get(hash, resource).map(|entry| info(entry))
    }

    pub(super) fn snapshot(&self) -> Vec<LockInfo> {
        self.table.lock().entries().map(info).collect()
    }
}

/// What a waiter sees when it looks.
pub(super) enum Look {
    /// Nothing happens before this time, unless somebody wakes the waiter.
    Wait(Option<Instant>),
    /// The waiter's lease is pending no more.
    Again,
    /// The provider is closed.
    Closed,
}

impl LockBackend for Shard {
    fn acquire(self: Arc<Self>, resource: Resource, options: LockOptions, wait: Wait) -> Acquiring {
        match self.attempt(resource, &options, wait, Admission::New) {
            Ok(Attempt::Granted(lease)) => Acquiring::ready(Ok(Some(LockGuard::new(lease)))),
            Ok(Attempt::Busy) => Acquiring::ready(Ok(None)),
            Ok(Attempt::Queued(lease, ticket)) => Acquiring::pending(Waiting::new(lease, ticket, options, wait)),
            Err(error) => Acquiring::ready(Err(error)),
        }
    }
}

fn info(entry: &Entry) -> LockInfo {
    let state = &entry.holder().state;
    LockInfo {
        resource: state.resource().clone(),
        fencing_token: state.fencing_token(),
        remaining: state.remaining(),
        waiters: entry.waiters(),
    }
}
