//! [`Shard`]: the locks that one mutex guards.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release as ReleaseOrder};
use std::task::Waker;
use std::time::Duration;

use hashbrown::DefaultHashBuilder;

use super::entry::Entry;
use super::hash::NameHash;
use super::holders::Grant;
use super::shared_lease::{LeaseOwner, SharedLease, term};
use super::table::Table;
use tokio::time::Instant;

use crate::backend::{LeaseState, PackedInstant, Release, Term, WaiterLimit, Wakers};
use crate::sync::{AtomicBool, Mutex, MutexGuard, now};
use crate::types::time_after;
use crate::{FencingToken, LockMode, LockOptions, Resource};

/// One part of a provider's locks. Every transition of a lock is one critical section of its shard's mutex. No value of
/// the user's is woken, polled, cloned or dropped while the mutex is held.
///
/// Each shard has a reference count of its own, so that threads with different names do not contend for one.
#[derive(Debug)]
#[repr(align(128))] // Two shards never share a cache line, nor a pair of lines that is fetched together.
pub(crate) struct Shard {
    pub(crate) table: Mutex<Table>,
    /// Set inside the critical section that closes the table. Read without the mutex by leases that are not shared
    /// (M8).
    closed: AtomicBool,
    pub(crate) hasher: DefaultHashBuilder,
    /// Shared by all shards. Used only by callers that have to wait.
    pub(crate) waiter_limit: Arc<WaiterLimit>,
}

/// The locks of a shard, while its mutex is locked.
pub(crate) type TableGuard<'a> = MutexGuard<'a, Table>;

impl Shard {
    pub(crate) fn new(hasher: DefaultHashBuilder, first_fence: u64, waiter_limit: Arc<WaiterLimit>) -> Self {
        let table = Mutex::new(Table::new(hasher.clone(), first_fence));
        Self { table, closed: AtomicBool::new(false), hasher, waiter_limit }
    }

    /// A lease that was granted as one that only its guard refers to, and is shared now.
    fn lease(self: &Arc<Self>, state: LeaseState, hash: NameHash) -> Arc<SharedLease> {
        Arc::new(SharedLease { state, hash, place: 0, at_least: None, owner: Arc::<Self>::clone(self) })
    }

    /// A lease that is not [plain](super::is_plain), granted at the time `since`.
    pub(crate) fn lease_of(
        self: &Arc<Self>,
        grant: Grant,
        resource: &Resource,
        hash: NameHash,
        options: &LockOptions,
        since: Instant,
    ) -> Arc<SharedLease> {
        let mode = options.configured_mode();
        let state = LeaseState::held(resource.clone(), grant.fence, term(options, since)).in_mode(mode);
        if let LockMode::Permits(_) = mode {
            state.set_permit(grant.place);
        }
        let at_least = Some(options.configured_at_least()).filter(|at_least| !at_least.is_zero());
        let at_least = at_least.and_then(|at_least| time_after(since, at_least)).map(PackedInstant::from);
        Arc::new(SharedLease { state, hash, place: grant.place, at_least, owner: Arc::<Self>::clone(self) })
    }

    /// Ends every lease and every wait.
    pub(crate) fn close(&self) {
        let (watchers, leases, wakers) = {
            let mut table = self.table.lock();
            let now = now();
            // A guard whose lease is not shared learns of the close only by this flag.
            self.closed.store(true, ReleaseOrder);
            let (leases, wakers): (Vec<_>, Vec<_>) = table.close(now).into_iter().map(Entry::into_parts).unzip();
            let leases: Vec<_> = leases.into_iter().flatten().collect();
            // Inside the critical section, as is every change of a lease without an end. All leases end before any
            // watcher is woken.
            for lease in &leases {
                lease.state.mark_closed();
            }
            let watchers: Vec<_> = leases.iter().filter_map(|lease| lease.state.lose_without_waking(now)).collect();
            (watchers, leases, wakers)
        };
        drop(leases);
        watchers.into_iter().for_each(Wakers::wake);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether the shard is not closed. Does not take the mutex.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.closed.load(Acquire)
    }

    /// Ends the lease of a [`Holder::InProcess`](super::Holder::InProcess), also if it has been shared since, and hands
    /// the lock over.
    #[inline]
    pub(super) fn release_in_process(&self, hash: NameHash, fence: FencingToken) -> Release {
        let mut table = self.table.lock();
        if table.release_uncontended(hash, fence) {
            return Release::Released;
        }
        let released = table.release_in_process(hash, fence);
        drop(table);
        let Some(released) = released else { return Release::AlreadyLost };
        released.wake();
        Release::Released
    }

    /// Makes a lease that handles and loss signals can share, of one that only its guard refers to.
    pub(super) fn share(
        self: &Arc<Self>,
        resource: &Resource,
        hash: NameHash,
        fence: FencingToken,
    ) -> Arc<SharedLease> {
        let closed_at = {
            let mut table = self.table.lock();
            let entry = table.get_in_process(hash, fence);
            if let Some(lease) = entry.and_then(|entry| self.shared(entry, hash)) {
                return lease;
            }
            table.closed_at().unwrap_or_else(now)
        };
        // The lease ended when the shard was closed, and shows that time.
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

    /// The lease of an entry's holder, to be shared. `None` if it has not been claimed yet.
    pub(crate) fn shared(self: &Arc<Self>, entry: &mut Entry, hash: NameHash) -> Option<Arc<SharedLease>> {
        entry.share(|state| self.lease(state, hash))
    }
}

impl LeaseOwner for Shard {
    fn extend(&self, lease: &SharedLease, duration: Duration) -> bool {
        let (renewed, watchers, wake) = {
            let mut table = self.table.lock();
            let now = now();
            let (renewed, watchers) = lease.state.renew_without_waking(now, now, duration);
            // The end may be earlier than before (M6).
            let entry = if renewed { table.get(lease.hash, lease.state.resource()) } else { None };
            (renewed, watchers, entry.map(|entry| entry.extended(lease)))
        };
        watchers.wake();
        wake.unwrap_or_default().wake();
        renewed
    }

    fn release(&self, lease: &SharedLease) -> Release {
        let (release, released) = {
            let mut table = self.table.lock();
            // Inside the critical section, so that no thread finds an entry whose holder was released (M2).
            let release = lease.state.release_alone();
            let kept = match (release, lease.at_least.map(PackedInstant::instant)) {
                (Release::Released, Some(until)) if now() < until => Some(until),
                _ => None,
            };
            (
                release,
                match kept {
                    Some(until) => table.keep(lease, until),
                    None => table.hand_over(lease),
                },
            )
        };
        if let Some(released) = released {
            released.wake();
        }
        release
    }
}
