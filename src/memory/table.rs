//! [`Table`]: who holds what, and who waits for it. No clock, no mutex and no waking of its own.
//!
//! # What is always true
//!
//! - **M1** A name has an entry exactly while somebody holds it; who waits, waits for a holder. When a holder
//!   goes, the first waiter becomes the holder in the same step, or the entry goes too.
//! - **M2** A lease is in one of three places: pending in exactly one queue; the holder of exactly one entry;
//!   or in neither, and then it has ended and never comes back.
//! - **M3** A holder is replaced only when its lease has ended by the clock or by its own release. So two
//!   holders' times never overlap.
//! - **M4** Queues are in the order of arrival, and only the first is served. A newcomer is granted the lock
//!   at once only if there is no entry.
//! - **M5** Fences rise with every grant.
//! - **M6** The first waiter knows when the holder's lease ends if nobody does anything: it is woken when it
//!   becomes first, and when that end moves nearer. Every waiter looks again after a while besides, so that none
//!   depends on another's being polled: a first waiter may never be, and neither may one that was granted the lock.
//! - **M7** After closing there are no entries, and none come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use tokio::time::Instant;

use super::lease::{MemoryLease, term, untaken_term};
use crate::mutant::{Mutant, is};
use crate::provider::{LeaseState, Seat, replace_waker};
use crate::{FencingToken, LockOptions, Resource};

#[derive(Debug)]
pub(super) struct Table {
    entries: HashTable<Entry>,
    fence: u64,
    ticket: u64,
    closed: bool,
    /// The size at which leases that expired with their guards leaked are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    holder: Arc<MemoryLease>,
    /// By ticket, which is by arrival (M4). Takes no memory while it is empty.
    queue: BTreeMap<Ticket, Waiter>,
}

/// A place in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct Waiter {
    lease: Arc<MemoryLease>,
    waker: Waker,
    /// Given back with the place, however that ends.
    _seat: Seat,
}

/// Who is to be woken once the table's mutex is free.
#[derive(Debug, Default)]
#[must_use = "whoever is granted a lock has to be woken"]
pub(super) struct Wake {
    granted: Option<Waker>,
    first: Option<Waker>,
}

impl Wake {
    pub(super) fn wake(self) {
        for waker in [self.granted, self.first].into_iter().flatten() {
            waker.wake();
        }
    }
}

/// A waiter that has left, to be dropped once the table's mutex is free: its waker may be the last that keeps a
/// task, and with it a guard.
#[derive(Debug)]
pub(super) struct Left {
    _waiter: Waiter,
    wake: Wake,
}

impl Left {
    pub(super) fn wake(self) {
        self.wake.wake();
    }
}

/// The smallest table that is swept or shrunk.
const SMALL: usize = 256;

impl Table {
    pub(super) fn new(first_fence: u64) -> Self {
        Self { entries: HashTable::new(), fence: first_fence, ticket: 0, closed: false, sweep_at: SMALL }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn get(&mut self, hash: u64, resource: &Resource) -> Option<&mut Entry> {
        self.entries.find_mut(hash, |entry| entry.holder.state.resource() == resource)
    }

    /// Grants a name that has no entry (M1, M4). Gives the name back if it has one.
    pub(super) fn grant_free(
        &mut self,
        hash: u64,
        resource: Resource,
        make: impl FnOnce(LeaseState) -> MemoryLease,
        options: &LockOptions,
        now: impl FnOnce() -> Instant,
    ) -> Result<Arc<MemoryLease>, Resource> {
        if self.entries.len() >= self.sweep_at {
            self.sweep();
        }
        let found =
            self.entries.entry(hash, |entry| *entry.holder.state.resource() == resource, |entry| entry.holder.hash);
        match found {
            Slot::Occupied(_) => Err(resource),
            Slot::Vacant(slot) => {
                let state = LeaseState::held(resource, next_fence(&mut self.fence), term(options, now()));
                let holder = Arc::new(make(state));
                slot.insert(Entry { holder: Arc::clone(&holder), queue: BTreeMap::new() });
                Ok(holder)
            }
        }
    }

    /// Puts a pending lease at the end of the queue for its name (M4), which has an entry (M1).
    pub(super) fn join(&mut self, lease: &Arc<MemoryLease>, seat: Seat) -> Ticket {
        let ticket = Ticket(if is(Mutant::LastComeFirstServedInMemory) { !self.ticket } else { self.ticket });
        self.ticket += 1;
        if let Some(entry) = self.get(lease.hash, lease.state.resource()) {
            // Woken for nothing until the first poll leaves its waker; what happened by then shows in the lease.
            let waiter = Waiter { lease: Arc::clone(lease), waker: Waker::noop().clone(), _seat: seat };
            entry.queue.insert(ticket, waiter);
        }
        ticket
    }

    /// Takes a pending lease out of its queue. `None` if it was not there: it has been granted or lost (M2).
    pub(super) fn leave(&mut self, lease: &MemoryLease, ticket: Ticket) -> Option<Left> {
        let entry = self.get(lease.hash, lease.state.resource())?;
        let was_first = entry.is_first(ticket);
        let waiter = entry.queue.remove(&ticket)?;
        Some(Left { _waiter: waiter, wake: if was_first { entry.wake_first() } else { Wake::default() } })
    }

    /// Replaces a holder that has ended by the first waiter, or removes its entry (M1, M3).
    ///
    /// Does nothing if `lease` is not the holder any more.
    pub(super) fn succeed(&mut self, lease: &MemoryLease, now: impl FnOnce() -> Instant) -> Wake {
        let held = self.entries.find_entry(lease.hash, |entry| std::ptr::eq(Arc::as_ptr(&entry.holder), lease));
        let Ok(mut held) = held else { return Wake::default() };
        let entry = held.get_mut();
        let now = if entry.queue.is_empty() { None } else { Some(now()) };
        while let (Some((_, next)), Some(now)) = (entry.queue.pop_first(), now) {
            let fence = next_fence(&mut self.fence);
            // A pending lease in a queue cannot have ended (M2), so this grants.
            if next.lease.state.grant(fence, untaken_term(next.lease.options(), now)) {
                entry.holder = next.lease;
                // A lease that will renew itself once it is taken has no end to tell of. Should its waiter never come,
                // the others look again by themselves (M6).
                let first = if entry.holder.has_end() { entry.wake_first() } else { Wake::default() };
                return Wake { granted: Some(next.waker), ..first };
            }
        }
        held.remove();
        self.shrink();
        Wake::default()
    }

    /// Empties the table for good (M7). What is returned has to be ended by the caller.
    pub(super) fn close(&mut self) -> HashTable<Entry> {
        self.closed = true;
        std::mem::take(&mut self.entries)
    }

    /// Removes entries whose guard was leaked and whose lease has expired: nobody else would, unless somebody
    /// asked for that very name. Looked for only when the table has doubled, so that it costs little.
    fn sweep(&mut self) {
        self.entries.retain(|entry| !entry.queue.is_empty() || entry.holder.state.is_held());
        self.sweep_at = self.entries.len().saturating_mul(2).max(SMALL);
    }

    /// Gives back the memory of a table that was large once.
    fn shrink(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > SMALL {
            self.entries = HashTable::new();
            self.sweep_at = SMALL;
        }
    }
}

impl Entry {
    pub(super) fn holder(&self) -> &Arc<MemoryLease> {
        &self.holder
    }

    pub(super) fn waiters(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_first(&self, ticket: Ticket) -> bool {
        self.queue.first_key_value().is_some_and(|(first, _)| *first == ticket)
    }

    /// Leaves the waker of a waiter. Returns the one that was there, to be dropped once the mutex is free.
    pub(super) fn set_waker(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        self.queue.get_mut(&ticket).and_then(|waiter| replace_waker(&mut waiter.waker, waker))
    }

    /// The first waiter's waker, if there is an end of the holder's lease that it has to know of (M6).
    pub(super) fn wake_first(&self) -> Wake {
        let first = self.queue.first_key_value().filter(|_| self.holder.state.ends().is_some());
        Wake { granted: None, first: first.map(|(_, waiter)| waiter.waker.clone()) }
    }

    /// The leases of the holder and of everybody who waits, with the wakers of the latter.
    pub(super) fn into_leases(self) -> impl Iterator<Item = (Arc<MemoryLease>, Option<Waker>)> {
        let waiters = self.queue.into_values().map(|waiter| (waiter.lease, Some(waiter.waker)));
        std::iter::once((self.holder, None)).chain(waiters)
    }
}

/// The next fence (M5).
fn next_fence(fence: &mut u64) -> FencingToken {
    *fence = fence.saturating_add(1);
    FencingToken::saturating(*fence)
}
