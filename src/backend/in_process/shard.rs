//! [`Shard`]: the locks that one mutex guards.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release as ReleaseOrder};
use std::task::Waker;
use std::time::Duration;

use hashbrown::DefaultHashBuilder;

use super::entry::Entry;
use super::hash::NameHash;
use super::shared_lease::{LeaseOwner, SharedLease};
use super::table::Table;
use crate::backend::{DEFAULT_MOST, LeaseState, Release, Term, WaiterLimit, Wakers};
use crate::sync::{AtomicBool, Mutex, MutexGuard, now};
use crate::{FencingToken, Resource};

/// One part of a provider's locks. Every step on a lock is one critical section of its shard's mutex, which
/// is never held while something is woken, polled, cloned or dropped that is not ours.
///
/// Each shard has its own reference count, so that threads on different names do not meet there either.
#[derive(Debug)]
#[repr(align(128))] // Two shards never share a cache line, nor a pair of lines that is fetched together.
pub(crate) struct Shard {
    pub(crate) table: Mutex<Table>,
    /// Set inside the critical section that closes the table, for those who look without its mutex (M8).
    closed: AtomicBool,
    pub(crate) hasher: DefaultHashBuilder,
    /// Shared by all shards, and asked only by whoever has to wait.
    pub(crate) room: Arc<WaiterLimit>,
}

/// The locks of a shard, while its mutex is locked.
pub(crate) type TableGuard<'a> = MutexGuard<'a, Table>;

impl Shard {
    /// One with a waiting room of its own.
    pub(crate) fn new(hasher: DefaultHashBuilder, first_fence: u64) -> Self {
        let table = Mutex::new(Table::new(hasher.clone(), first_fence));
        Self { table, closed: AtomicBool::new(false), hasher, room: WaiterLimit::new(DEFAULT_MOST) }
    }

    /// The same with a room that others share.
    pub(crate) fn in_room(self, room: &Arc<WaiterLimit>) -> Self {
        Self { room: Arc::clone(room), ..self }
    }

    /// A lease that is granted by this shard.
    pub(crate) fn lease(self: &Arc<Self>, state: LeaseState, hash: NameHash) -> Arc<SharedLease> {
        Arc::new(SharedLease { state, hash, owner: Arc::<Self>::clone(self) })
    }

    /// Ends every lease and every wait.
    pub(crate) fn close(&self) {
        let (told, leases, wakers) = {
            let mut table = self.table.lock();
            let now = now();
            // First of all: a guard whose lease nobody shares has no other sign of it.
            self.closed.store(true, ReleaseOrder);
            let (leases, wakers): (Vec<_>, Vec<_>) = table.close(now).into_iter().map(Entry::into_parts).unzip();
            let leases: Vec<_> = leases.into_iter().flatten().collect();
            // Inside the critical section, as every change of a lease without an end; and every lock is let go before
            // anybody is told.
            for lease in &leases {
                lease.state.mark_closed();
            }
            let told: Vec<_> = leases.iter().filter_map(|lease| lease.state.lose_untold(now)).collect();
            (told, leases, wakers)
        };
        drop(leases);
        told.into_iter().for_each(Wakers::wake);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether it was not closed yet, without the mutex.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Acquire)
    }

    /// Ends a lease that its guard alone knows, or knew, and hands the lock on.
    #[inline]
    pub(super) fn release_in_process(&self, hash: NameHash, fence: FencingToken) -> Release {
        let mut table = self.table.lock();
        if table.release_lonely(hash, fence) {
            return Release::Released;
        }
        let gone = table.release_in_process(hash, fence);
        drop(table);
        let Some(gone) = gone else { return Release::AlreadyLost };
        gone.wake();
        Release::Released
    }

    /// The lease that others are to see of one that its guard alone knew.
    pub(super) fn share(
        self: &Arc<Self>,
        resource: &Resource,
        hash: NameHash,
        fence: FencingToken,
    ) -> Arc<SharedLease> {
        let closed_at = {
            let mut table = self.table.lock();
            let entry = table.get_in_process(hash, fence);
            if let Some(lease) = entry.and_then(|entry| self.shared(entry)) {
                return lease;
            }
            table.closed_at().unwrap_or_else(now)
        };
        // It ended when all were closed, and shows that time.
        let state = LeaseState::held(resource.clone(), fence, Term::new(closed_at, Duration::ZERO));
        state.lose(closed_at);
        self.lease(state, hash)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.table.lock().is_closed()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// The lease of an entry's holder, as others see it, or `None` if nobody has come for it.
    pub(crate) fn shared(self: &Arc<Self>, entry: &mut Entry) -> Option<Arc<SharedLease>> {
        entry.share(|state| {
            let hash = NameHash::of(state.resource(), &self.hasher);
            self.lease(state, hash)
        })
    }
}

impl LeaseOwner for Shard {
    fn extend(&self, lease: &SharedLease, duration: Duration) -> bool {
        let (renewed, watchers, wake) = {
            let mut table = self.table.lock();
            let now = now();
            let (renewed, watchers) = lease.state.renew_untold(now, now, duration);
            // The end may have moved nearer (M6).
            let entry = if renewed { table.get(lease.hash, lease.state.resource()) } else { None };
            (renewed, watchers, entry.map(Entry::wake_first))
        };
        watchers.wake();
        wake.unwrap_or_default().wake();
        renewed
    }

    fn release(&self, lease: &SharedLease) -> Release {
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
}
