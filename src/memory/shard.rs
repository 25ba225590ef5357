//! [`Shard`]: the locks that one mutex guards.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release as ReleaseOrder};
use std::task::Waker;
use std::time::Duration;

use hashbrown::DefaultHashBuilder;
use tokio::time::Instant;

use super::LockInfo;
use super::after::Left;
use super::entry::{Entry, Waiter};
use super::holder::Holder;
use super::lease::{MemoryLease, has_end, term};
use super::queue::Ticket;
use super::sole::Sole;
use super::table::{Arrival, Table};
use super::wait::Waiting;
use crate::mutant::{Mutant, is};
use crate::provider::{Acquiring, DEFAULT_MOST, LeaseState, LockBackend, Release, Term, Wait, WaitingRoom, Wakers};
use crate::sync::{AtomicBool, Mutex, now};
use crate::{FencingToken, LockError, LockGuard, LockOptions, Resource};

/// One part of a provider's locks. Every step on a lock is one critical section of its shard's mutex, which
/// is never held while something is woken, polled or dropped that is not ours.
///
/// Each shard has its own reference count, so that threads on different names do not meet there either.
#[derive(Debug)]
#[repr(align(128))] // Two shards never share a cache line, nor a pair of lines that is fetched together.
pub(super) struct Shard {
    table: Mutex<Table>,
    /// Set inside the critical section that closes the table, for those who look without its mutex (M8).
    closed: AtomicBool,
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
    Granted(LockGuard),
    Queued(Arc<MemoryLease>, Ticket),
    Busy,
}

impl Shard {
    /// One with a waiting room of its own.
    pub(super) fn new(hasher: DefaultHashBuilder, first_fence: u64) -> Self {
        let table = Mutex::new(Table::new(first_fence));
        Self { table, closed: AtomicBool::new(false), hasher, room: WaitingRoom::new(DEFAULT_MOST) }
    }

    /// The same with a room that others share.
    pub(super) fn in_room(self, room: &Arc<WaitingRoom>) -> Self {
        Self { room: Arc::clone(room), ..self }
    }

    /// Grants the lock, or joins the queue if `wait` allows.
    pub(super) fn attempt(
        self: &Arc<Self>,
        resource: &Resource,
        options: &LockOptions,
        wait: Wait,
        admission: Admission,
    ) -> Result<Attempt, LockError> {
        let hash = self.hasher.hash_one(resource.as_str());
        if has_end(options) {
            return self.attempt_with_end(resource, hash, options, wait, admission);
        }
        let ttl = options.get_ttl();
        Ok(match self.enter(resource, hash, options, wait, admission, |_| Holder::Sole(ttl))? {
            Entered::Granted(fence) => {
                let sole = Sole { resource: resource.clone(), fence, hash, shard: Arc::clone(self) };
                Attempt::Granted(LockGuard::sole(sole))
            }
            Entered::Queued(lease, ticket) => Attempt::Queued(lease, ticket),
            Entered::Busy => Attempt::Busy,
        })
    }

    /// The same for a lease with an end, which its guard shares with the table from the beginning.
    fn attempt_with_end(
        self: &Arc<Self>,
        resource: &Resource,
        hash: u64,
        options: &LockOptions,
        wait: Wait,
        admission: Admission,
    ) -> Result<Attempt, LockError> {
        // Made before the mutex is taken, so that others do not wait for the clock.
        let term = term(options);
        let mut granted = None;
        let holder = |fence| {
            let state = LeaseState::held(resource.clone(), fence, term);
            let lease = Arc::new(MemoryLease { state, hash, shard: Arc::clone(self) });
            Holder::Shared(Arc::clone(granted.insert(lease)))
        };
        let entered = self.enter(resource, hash, options, wait, admission, holder)?;
        Ok(match (entered, granted) {
            (Entered::Queued(lease, ticket), _) => Attempt::Queued(lease, ticket),
            (_, Some(lease)) => Attempt::Granted(LockGuard::new(lease)),
            (_, None) => Attempt::Busy,
        })
    }

    /// The critical section of an attempt: `holder` is asked for if the lock is free.
    fn enter(
        self: &Arc<Self>,
        resource: &Resource,
        hash: u64,
        options: &LockOptions,
        wait: Wait,
        admission: Admission,
        holder: impl FnOnce(FencingToken) -> Holder,
    ) -> Result<Entered, LockError> {
        let (queued, wake) = {
            let mut table = self.table.lock();
            if table.is_closed() {
                return Err(LockError::Closed);
            }
            match table.arrive(hash, resource, holder) {
                Arrival::Granted(fence) => return Ok(Entered::Granted(fence)),
                Arrival::Held(entry, ticket, wake) => (self.join(entry, hash, ticket, options, wait, admission), wake),
            }
        };
        wake.wake();
        queued
    }

    /// Joins the queue for a name that somebody holds, unless it is not to wait.
    fn join(
        self: &Arc<Self>,
        entry: &mut Entry,
        hash: u64,
        ticket: Ticket,
        options: &LockOptions,
        wait: Wait,
        admission: Admission,
    ) -> Result<Entered, LockError> {
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

    /// Acquires a lock that somebody has, or with a lease that has an end. Apart, since the usual acquire is short.
    #[inline(never)]
    fn acquire_slowly(self: &Arc<Self>, resource: &Resource, options: &LockOptions, wait: Wait) -> Acquiring {
        match self.attempt(resource, options, wait, Admission::New) {
            Ok(Attempt::Granted(guard)) => Acquiring::ready(Ok(Some(guard))),
            Ok(Attempt::Busy) => Acquiring::ready(Ok(None)),
            Ok(Attempt::Queued(lease, ticket)) => Acquiring::pending(Waiting::new(lease, ticket, *options, wait)),
            Err(error) => Acquiring::ready(Err(error)),
        }
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
                    let ends = if entry.is_first(ticket) { entry.ends() } else { None };
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
        let (release, gone) = {
            let mut table = self.table.lock();
            // Inside the critical section, so that nobody finds an entry whose holder was released (M2).
            let release = lease.state.release_alone();
            (release, table.succeed(lease))
        };
        if let Some(gone) = gone {
            gone.wake();
        }
        release
    }

    /// The same for a lease that its guard alone knows, or knew.
    #[inline]
    pub(super) fn release_sole(&self, sole: &Sole) -> Release {
        let mut table = self.table.lock();
        if table.release_lonely(sole.hash, sole.fence) {
            return Release::Released;
        }
        let gone = table.release_sole(sole.hash, sole.fence);
        drop(table);
        let Some(gone) = gone else { return Release::AlreadyLost };
        gone.wake();
        Release::Released
    }

    /// The lease that others are to see of one that its guard alone knew.
    pub(super) fn share(self: &Arc<Self>, sole: &Sole) -> Arc<MemoryLease> {
        let closed_at = {
            let mut table = self.table.lock();
            if let Some(entry) = table.get_sole(sole.hash, sole.fence) {
                return self.shared(entry);
            }
            table.closed_at().unwrap_or_else(now)
        };
        // It ended when all were closed, and shows that time.
        let state = LeaseState::held(sole.resource.clone(), sole.fence, Term::new(closed_at, Duration::ZERO));
        state.lose(closed_at);
        Arc::new(MemoryLease { state, hash: sole.hash, shard: Arc::clone(self) })
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
            // First of all: a guard whose lease nobody shares has no other sign of it.
            self.closed.store(!is(Mutant::ClosedAndStillHeld), ReleaseOrder);
            let (leases, wakers): (Vec<_>, Vec<_>) = table.close(now).into_iter().flat_map(Entry::into_leases).unzip();
            // Inside the critical section, as every change of a lease without an end; and every lock is let go before
            // anybody is told.
            let told: Vec<_> = leases.iter().filter_map(|lease| lease.state.lose_untold(now)).collect();
            (told, leases, wakers)
        };
        drop(leases);
        told.into_iter().for_each(Wakers::tell_of_loss);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether it was not closed yet, without the mutex.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Acquire)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.table.lock().is_closed()
    }

    pub(super) fn len(&self) -> usize {
        self.table.lock().len()
    }

    pub(super) fn inspect(self: &Arc<Self>, resource: &Resource) -> Option<LockInfo> {
        let hash = self.hasher.hash_one(resource.as_str());
        self.table.lock().get(hash, resource).map(|entry| self.info(entry))
    }

    pub(super) fn snapshot(self: &Arc<Self>) -> Vec<LockInfo> {
        self.table.lock().entries().map(|entry| self.info(entry)).collect()
    }

    fn info(self: &Arc<Self>, entry: &mut Entry) -> LockInfo {
        let holder = self.shared(entry);
        LockInfo {
            resource: entry.resource.clone(),
            fencing_token: entry.fence,
            remaining: holder.state.remaining(),
            waiters: entry.waiters(),
        }
    }

    /// The lease of an entry's holder, as others see it.
    fn shared(self: &Arc<Self>, entry: &mut Entry) -> Arc<MemoryLease> {
        entry.share(|state, hash| Arc::new(MemoryLease { state, hash, shard: Arc::clone(self) }))
    }
}

/// What came of entering the table.
enum Entered {
    Granted(FencingToken),
    Queued(Arc<MemoryLease>, Ticket),
    Busy,
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
        if has_end(&options) {
            return self.acquire_slowly(&resource, &options, wait);
        }
        let hash = self.hasher.hash_one(resource.as_str());
        // Written before the mutex is taken and not after it is free: what the guard is moved with has then been written
        // long ago, and the processor need not wait for it.
        let mut sole = Sole { resource, fence: FencingToken::saturating(0), hash, shard: self };
        let granted = sole.shard.table.lock().arrive_sole(hash, &sole.resource, options.get_ttl());
        let Some(fence) = granted else { return sole.shard.acquire_slowly(&sole.resource, &options, wait) };
        sole.fence = fence;
        Acquiring::ready(Ok(Some(LockGuard::sole(sole))))
    }
}
