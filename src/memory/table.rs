//! [`Table`]: who holds what, and who waits for it. No clock, no mutex and no waking of its own.
//!
//! # What is always true
//!
//! - **M1** A name has an entry exactly while somebody holds it; who waits, waits for a holder. When a holder
//!   goes, the first waiter becomes the holder in the same step, or the entry goes too.
//! - **M2** A lease that somebody was given is in one of three places: pending in exactly one queue; the holder of exactly
//!   one entry; or in neither, and then it has ended and never comes back.
//! - **M3** A holder is replaced only when its lease has ended by the clock or by its own release. So two
//!   holders' times never overlap.
//! - **M4** Queues are in the order of arrival, and only the first is served. A newcomer is granted the lock
//!   at once only if there is no entry.
//! - **M5** Fences rise with every grant.
//! - **M6** The first waiter knows when the holder's lease ends if nobody does anything: it is woken when it
//!   becomes first, and when that end moves nearer. Every waiter looks again after a while besides, so that none
//!   depends on another's being polled: a first waiter may never be, and neither may one that was granted the lock.
//! - **M7** After closing there are no entries, and none come.

use std::sync::Arc;
use std::task::Waker;

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry as Slot, OccupiedEntry};
use tokio::time::Instant;

use super::lease::{MemoryLease, has_end, untaken_term};
use super::queue::{Queue, Ticket};
use crate::provider::{Seat, replace_waker};
use crate::sync::now;
use crate::{FencingToken, LockOptions, Resource};

#[derive(Debug)]
pub(super) struct Table {
    entries: HashTable<Entry>,
    fences: Fences,
    ticket: u64,
    closed: bool,
    /// The size at which leases that expired with their guards leaked are looked for.
    sweep_at: usize,
}

#[derive(Debug)]
pub(super) struct Entry {
    holder: Arc<MemoryLease>,
    /// In the order of arrival (M4). Made for the first who waits.
    queue: Option<Box<Queue<Waiter>>>,
}

/// A pending lease in a queue.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) lease: Arc<MemoryLease>,
    pub(super) options: LockOptions,
    pub(super) waker: Waker,
    /// Given back with the place, however that ends.
    pub(super) _seat: Seat,
}

/// The fences of a table, which rise (M5).
#[derive(Debug)]
struct Fences(u64);

impl Fences {
    fn next(&mut self) -> FencingToken {
        self.0 = self.0.saturating_add(1);
        FencingToken::saturating(self.0)
    }
}

/// Who is to be woken once the table's mutex is free.
#[derive(Debug, Default)]
#[must_use = "whoever is granted a lock has to be woken"]
pub(super) struct Wake {
    granted: Option<Waker>,
    first: Option<Waker>,
}

impl Wake {
    #[inline]
    pub(super) fn wake(self) {
        if let Some(waker) = self.granted {
            waker.wake();
        }
        if let Some(waker) = self.first {
            waker.wake();
        }
    }
}

/// What a newcomer finds.
pub(super) enum Arrival<'a> {
    /// The lock was free, and has been granted to it.
    Granted,
    /// Somebody holds the lock; perhaps since this very moment.
    Held(&'a mut Entry, Ticket, Wake),
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
        Self { entries: HashTable::new(), fences: Fences(first_fence), ticket: 0, closed: false, sweep_at: SMALL }
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

    /// Grants a lease that nobody else has seen, if its name has no entry (M1, M4) or the entry's holder has ended and
    /// nobody waits (M3). Otherwise the first who waits replaces a holder that has ended.
    #[inline]
    pub(super) fn arrive(&mut self, lease: &Arc<MemoryLease>, ends: Option<Instant>) -> Arrival<'_> {
        if self.entries.len() >= self.sweep_at {
            self.sweep();
        }
        let same = |entry: &Entry| entry.holder.state.resource() == lease.state.resource();
        let entry = match self.entries.entry(lease.hash, same, |entry| entry.holder.hash) {
            Slot::Vacant(slot) => {
                lease.state.grant_unseen(self.fences.next(), ends);
                slot.insert(Entry { holder: Arc::clone(lease), queue: None });
                return Arrival::Granted;
            }
            Slot::Occupied(held) => held.into_mut(),
        };
        let mut wake = Wake::default();
        if !entry.holder.state.is_held() {
            let Some(granted) = entry.grant_first(&mut self.fences, now) else {
                lease.state.grant_unseen(self.fences.next(), ends);
                entry.holder = Arc::clone(lease);
                return Arrival::Granted;
            };
            wake = granted;
        }
        self.ticket += 1;
        Arrival::Held(entry, Ticket(self.ticket), wake)
    }

    /// Looks after a waiter's name: replaces a holder that has ended at `now` (M3).
    pub(super) fn settle(&mut self, lease: &MemoryLease, now: Instant) -> (Option<&mut Entry>, Wake) {
        let same = |entry: &Entry| entry.holder.state.resource() == lease.state.resource();
        let Ok(held) = self.entries.find_entry(lease.hash, same) else { return (None, Wake::default()) };
        if held.get().holder.state.is_held_at(now) {
            return (Some(held.into_mut()), Wake::default());
        }
        // The next lease begins now and not at `now`, which was before the mutex was free.
        succeed(held, &mut self.fences, crate::sync::now)
    }

    /// Takes a pending lease out of its queue. `None` if it was not there: it has been granted or lost (M2).
    pub(super) fn leave(&mut self, lease: &MemoryLease, ticket: Ticket) -> Option<Left> {
        let entry = self.get(lease.hash, lease.state.resource())?;
        let was_first = entry.is_first(ticket);
        let waiter = entry.queue.as_mut()?.remove(ticket)?;
        Some(Left { _waiter: waiter, wake: if was_first { entry.wake_first() } else { Wake::default() } })
    }

    /// Replaces a holder that has ended by the first waiter, or removes its entry (M1, M3).
    ///
    /// Does nothing if `lease` is not the holder any more.
    #[inline]
    pub(super) fn succeed(&mut self, lease: &MemoryLease) -> Wake {
        let held = self.entries.find_entry(lease.hash, |entry| std::ptr::eq(Arc::as_ptr(&entry.holder), lease));
        let Ok(held) = held else { return Wake::default() };
        let (entry, wake) = succeed(held, &mut self.fences, now);
        if entry.is_none() {
            self.shrink();
        }
        wake
    }

    /// Empties the table for good (M7). What is returned has to be ended by the caller.
    pub(super) fn close(&mut self) -> HashTable<Entry> {
        self.closed = true;
        std::mem::take(&mut self.entries)
    }

    /// Removes entries whose guard was leaked and whose lease has expired: nobody else would, unless somebody
    /// asked for that very name. Looked for only when the table has doubled, so that it costs little.
    #[cold]
    fn sweep(&mut self) {
        self.entries.retain(|entry| entry.waiters() > 0 || entry.holder.state.is_held());
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

/// Replaces a holder that has ended by the first waiter. Without one the entry goes (M1).
#[inline]
fn succeed<'a>(
    mut held: OccupiedEntry<'a, Entry>,
    fences: &mut Fences,
    now: impl FnOnce() -> Instant,
) -> (Option<&'a mut Entry>, Wake) {
    let Some(wake) = held.get_mut().grant_first(fences, now) else {
        held.remove();
        return (None, Wake::default());
    };
    (Some(held.into_mut()), wake)
}

impl Entry {
    pub(super) fn holder(&self) -> &Arc<MemoryLease> {
        &self.holder
    }

    pub(super) fn waiters(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    pub(super) fn is_first(&self, ticket: Ticket) -> bool {
        self.first().is_some_and(|(first, _)| first == ticket)
    }

    fn first(&self) -> Option<(Ticket, &Waiter)> {
        self.queue.as_ref()?.first()
    }

    /// Puts a pending lease at the end of the queue (M4).
    pub(super) fn join(&mut self, ticket: Ticket, waiter: Waiter) {
        self.queue.get_or_insert_default().push(ticket, waiter);
    }

    /// Grants the lock to the first waiter in place of a holder that has ended. `None` if nobody waits.
    #[inline]
    fn grant_first(&mut self, fences: &mut Fences, now: impl FnOnce() -> Instant) -> Option<Wake> {
        // A lock that nobody waits for, nearly every one, needs neither a look at the queue nor one at the clock.
        if self.waiters() == 0 { None } else { self.grant_next(fences, now()) }
    }

    fn grant_next(&mut self, fences: &mut Fences, now: Instant) -> Option<Wake> {
        let queue = self.queue.as_mut()?;
        while let Some(next) = queue.pop_first() {
            // A pending lease in a queue cannot have ended (M2), so this grants.
            if next.lease.state.grant(fences.next(), untaken_term(&next.options, now)) {
                self.holder = next.lease;
                // A lease that will renew itself once it is taken has no end to tell of. Should its waiter never come,
                // the others look again by themselves (M6).
                let first = if has_end(&next.options) { self.wake_first() } else { Wake::default() };
                return Some(Wake { granted: Some(next.waker), ..first });
            }
        }
        None
    }

    /// Leaves the waker of a waiter. Returns the one that was there, to be dropped once the mutex is free.
    pub(super) fn set_waker(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        replace_waker(&mut self.queue.as_mut()?.get_mut(ticket)?.waker, waker)
    }

    /// The first waiter's waker, if there is an end of the holder's lease that it has to know of (M6).
    pub(super) fn wake_first(&self) -> Wake {
        let first = self.first().filter(|_| self.holder.state.ends().is_some());
        Wake { granted: None, first: first.map(|(_, waiter)| waiter.waker.clone()) }
    }

    /// The leases of the holder and of everybody who waits, with the wakers of the latter.
    pub(super) fn into_leases(self) -> impl Iterator<Item = (Arc<MemoryLease>, Option<Waker>)> {
        let waiters = self.queue.into_iter().flat_map(|queue| queue.into_waiters());
        std::iter::once((self.holder, None)).chain(waiters.map(|waiter| (waiter.lease, Some(waiter.waker))))
    }
}
