//! [`Table`]: who holds what, and who waits for it. No clock, no mutex and no waking of its own.
//!
//! # What is always true
//!
//! - **M1** A name has an entry exactly while somebody holds it; who waits, waits for a holder. When a holder
//!   goes, the first waiter becomes the holder in the same step, or the entry goes too.
//! - **M2** Whoever waits is in one of three places: in exactly one queue; the holder of exactly one entry, and has not
//!   come for it; or in neither, and then its grant has ended, or all is closed. A lease that somebody was given is the
//!   holder of exactly one entry, or it has ended and never comes back.
//! - **M3** A holder is replaced only when its lease has ended by the clock or by its own release. So two
//!   holders' times never overlap.
//! - **M4** Queues are in the order of arrival, and only the first is served. A newcomer is granted the lock
//!   at once only if there is no entry.
//! - **M5** Fences rise with every grant.
//! - **M6** The first waiter knows when the holder's lease ends if nobody does anything: it is woken when it
//!   becomes first, and when that end moves nearer. Every waiter looks again after a while besides, so that none
//!   depends on another's being polled: a first waiter may never be, and neither may one that was granted the lock.
//! - **M7** After closing there are no entries, and none come.
//! - **M8** A lease that its guard alone knows has no state but its entry: it is held from its grant, or from when its
//!   waiter came for it, to its release, or to the closing, and nothing else ends it. Sharing it changes nothing of that: what was made for others then ends in the
//!   same step, before anybody else is granted the lock.

use std::cell::OnceCell;
use std::time::Duration;

use hashbrown::hash_table::{Entry as Slot, OccupiedEntry};
use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::time::Instant;

use super::deferred::{DepartedWaiter, ReleasedHolder, WakeList};
use super::entry::Entry;
use super::fences::Fences;
use super::hash::NameHash;
use super::holder::Holder;
use super::queue_position::QueuePosition;
use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;
use crate::sync::now;
use crate::{FencingToken, Resource};

#[derive(Debug)]
pub(crate) struct Table {
    entries: HashTable<Entry>,
    hasher: DefaultHashBuilder,
    fences: Fences,
    ticket: u64,
    closed: Option<Instant>,
    /// The size at which leases that expired with their guards leaked are looked for.
    sweep_at: usize,
}

/// What a newcomer finds.
pub(crate) enum Arrival<'a> {
    /// The lock was free, and has been granted to it.
    Granted(FencingToken),
    /// Somebody holds the lock; perhaps since this very moment.
    Held(&'a mut Entry, Ticket, WakeList),
}

/// The smallest table that is swept or shrunk.
const SMALL: usize = 256;

impl Table {
    pub(crate) fn new(hasher: DefaultHashBuilder, first_fence: u64) -> Self {
        Self {
            entries: HashTable::new(),
            hasher,
            fences: Fences::after(first_fence),
            ticket: 0,
            closed: None,
            sweep_at: SMALL,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    pub(crate) fn closed_at(&self) -> Option<Instant> {
        self.closed
    }

    pub(crate) fn entries(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    pub(crate) fn get(&mut self, hash: NameHash, resource: &Resource) -> Option<&mut Entry> {
        self.entries.find_mut(hash.whole(), |entry| entry.resource == *resource)
    }

    /// The entry of a lease of [`Holder::InProcess`], whether it has been shared by now or not. `None` after closing (M8).
    pub(crate) fn get_in_process(&mut self, hash: NameHash, fence: FencingToken) -> Option<&mut Entry> {
        self.entries.find_mut(hash.whole(), |entry| entry.fence == fence)
    }

    /// Grants a lease to a newcomer, if the name has no entry (M1, M4) or the entry's holder has ended and nobody waits
    /// (M3). Otherwise the first who waits replaces a holder that has ended.
    #[inline]
    pub(crate) fn arrive(
        &mut self,
        hash: NameHash,
        resource: &Resource,
        holder: impl FnOnce(FencingToken) -> Holder,
        clock: &OnceCell<Instant>,
    ) -> Arrival<'_> {
        if self.entries.len() >= self.sweep_at {
            self.sweep();
        }
        let entry = match self.entries.entry(
            hash.whole(),
            |entry| entry.resource == *resource,
            |entry| NameHash::of(&entry.resource, &self.hasher).whole(),
        ) {
            Slot::Vacant(slot) => {
                let fence = self.fences.next();
                slot.insert(Entry { resource: resource.clone(), fence, holder: holder(fence), queue: None });
                return Arrival::Granted(fence);
            }
            Slot::Occupied(held) => held.into_mut(),
        };
        let mut wake = WakeList::default();
        if !entry.holder.is_held_at(|| *clock.get_or_init(now)) {
            let Some((_, granted)) = entry.grant_first(&mut self.fences, now) else {
                entry.fence = self.fences.next();
                // Who ended with its time has its guard still, so that this is not the last of it.
                entry.holder = holder(entry.fence);
                return Arrival::Granted(entry.fence);
            };
            wake = granted;
        }
        self.ticket += 1;
        Arrival::Held(entry, Ticket(self.ticket), wake)
    }

    /// Grants a lease that its guard alone knows, if the name has no entry (M1, M4), which is nearly always, and writes its
    /// fence where the guard will have it. `false` if it was not done: then [`arrive`](Self::arrive) has the answer.
    ///
    /// Never inlined: the caller then has the fence in memory and not in a register, written before the mutex is free, and
    /// moves the guard in wide pieces that were each written as one. A piece that was written in two just before would
    /// keep the processor waiting for both.
    #[inline(never)]
    pub(crate) fn arrive_in_process(
        &mut self,
        hash: NameHash,
        resource: &Resource,
        ttl: Duration,
        granted: &mut FencingToken,
    ) -> bool {
        if self.is_closed() || self.entries.len() >= self.sweep_at {
            return false;
        }
        match self.entries.entry(
            hash.whole(),
            |entry| entry.resource == *resource,
            |entry| NameHash::of(&entry.resource, &self.hasher).whole(),
        ) {
            Slot::Occupied(_) => false,
            Slot::Vacant(slot) => {
                let fence = self.fences.next();
                slot.insert(Entry { resource: resource.clone(), fence, holder: Holder::InProcess(ttl), queue: None });
                *granted = fence;
                true
            }
        }
    }

    /// Looks after a waiter's name: replaces a holder that has ended at the clock's time (M3), unless it is that waiter.
    pub(crate) fn settle(
        &mut self,
        place: &QueuePosition,
        clock: &OnceCell<Instant>,
    ) -> (Option<&mut Entry>, WakeList) {
        let same = |entry: &Entry| entry.resource == place.resource;
        let Ok(mut held) = self.entries.find_entry(place.hash.whole(), same) else {
            return (None, WakeList::default());
        };
        let holder = &held.get().holder;
        if holder.awaits(place.ticket) || holder.is_held_at(|| *clock.get_or_init(now)) {
            return (Some(held.into_mut()), WakeList::default());
        }
        // The next lease begins now and not at the clock's time, which may have been read before the mutex was free. A
        // holder that has ended with its time has its guard still, so that this is not the last of it.
        let Some((_, wake)) = held.get_mut().grant_first(&mut self.fences, now) else {
            held.remove();
            return (None, WakeList::default());
        };
        (Some(held.into_mut()), wake)
    }

    /// Takes a waiter out of its queue. `None` if it was not there: the lock has been granted to it, or its grant has
    /// ended (M2).
    pub(crate) fn leave(&mut self, place: &QueuePosition) -> Option<DepartedWaiter> {
        let entry = self.get(place.hash, &place.resource)?;
        let was_first = entry.is_first(place.ticket);
        let waiter = entry.queue.as_mut()?.remove(place.ticket)?;
        Some(DepartedWaiter { _waiter: waiter, wake: if was_first { entry.wake_first() } else { WakeList::default() } })
    }

    /// Hands a lock on that was granted to a waiter who will not come for it. `None` if its grant has ended (M2).
    pub(crate) fn hand_on(&mut self, place: &QueuePosition) -> Option<ReleasedHolder> {
        let granted = |entry: &Entry| entry.holder.awaits(place.ticket) && entry.resource == place.resource;
        let held = self.entries.find_entry(place.hash.whole(), granted).ok()?;
        let gone = succeed(held, &mut self.fences);
        self.shrink();
        Some(gone)
    }

    /// Replaces a holder that has ended by the first waiter, or removes its entry (M1, M3).
    ///
    /// Does nothing if `lease` is not the holder any more.
    pub(crate) fn succeed(&mut self, lease: &SharedLease) -> Option<ReleasedHolder> {
        let held = self.entries.find_entry(lease.hash.whole(), |entry| entry.holder.is(lease)).ok()?;
        let gone = succeed(held, &mut self.fences);
        self.shrink();
        Some(gone)
    }

    /// Ends the lease of [`Holder::InProcess`] with this fence if nobody else knows it and nobody waits: nearly every one, and
    /// then nobody has to be told. `false` if it was not done.
    #[inline]
    pub(crate) fn release_lonely(&mut self, hash: NameHash, fence: FencingToken) -> bool {
        let Ok(held) = self.entries.find_entry(hash.whole(), |entry| entry.fence == fence) else { return false };
        let entry = held.get();
        if entry.queue.is_some() || !matches!(entry.holder, Holder::InProcess(_)) {
            return false;
        }
        // Nothing of it has to be dropped but its name, as was just seen. The compiler does not know, and would look again.
        let (Entry { resource, holder, queue, .. }, _) = held.remove();
        std::mem::forget((holder, queue));
        drop(resource);
        self.shrink();
        true
    }

    /// The same for any such lease, shared by now or not. Goes on as [`succeed`](Self::succeed). `None` after closing (M8).
    pub(crate) fn release_in_process(&mut self, hash: NameHash, fence: FencingToken) -> Option<ReleasedHolder> {
        let held = self.entries.find_entry(hash.whole(), |entry| entry.fence == fence).ok()?;
        if let Holder::Shared(lease) = &held.get().holder {
            lease.state.release_alone();
        }
        let gone = succeed(held, &mut self.fences);
        self.shrink();
        Some(gone)
    }

    /// Empties the table for good (M7). What is returned has to be ended by the caller.
    pub(crate) fn close(&mut self, now: Instant) -> HashTable<Entry> {
        self.closed.get_or_insert(now);
        std::mem::take(&mut self.entries)
    }

    /// Removes entries whose guard was leaked and whose lease has expired: nobody else would, unless somebody
    /// asked for that very name. Looked for only when the table has doubled, so that it costs little.
    #[cold]
    fn sweep(&mut self) {
        let clock = OnceCell::new();
        self.entries.retain(|entry| entry.waiters() > 0 || entry.holder.is_held_at(|| *clock.get_or_init(now)));
        self.sweep_at = self.entries.len().saturating_mul(2).max(SMALL);
    }

    /// Gives back the memory of a table that was large once.
    #[inline]
    fn shrink(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > SMALL {
            self.entries = HashTable::new();
            self.sweep_at = SMALL;
        }
    }
}

/// Replaces a holder that has ended by the first waiter. Without one the entry goes (M1).
#[inline]
fn succeed(mut held: OccupiedEntry<'_, Entry>, fences: &mut Fences) -> ReleasedHolder {
    if let Some((holder, wake)) = held.get_mut().grant_first(fences, now) {
        return ReleasedHolder { _holder: holder, wake };
    }
    let (entry, _) = held.remove();
    ReleasedHolder { _holder: entry.holder, wake: WakeList::default() }
}
