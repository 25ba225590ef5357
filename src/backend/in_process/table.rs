//! [`Table`]: the holders and waiters of the locks of one shard. It has no mutex and wakes no task.
//!
//! # Invariants
//!
//! - **M1** A resource has an entry exactly while it is held. Every waiter waits for a holder. When a holder's lease
//!   ends, the first waiter becomes the holder in the same step, or the entry is removed.
//! - **M2** A waiter is in exactly one of three states: in one queue; granted, as the unclaimed holder of one entry; or
//!   neither, and then its grant has ended or the table is closed. A claimed lease is the holder of exactly one entry,
//!   or it has ended for ever.
//! - **M3** A holder is replaced only when its lease has ended, by the clock or by its own release. So the holds of two
//!   holders never overlap.
//! - **M4** Queues are in the order of arrival, and only the first waiter is served. A newcomer is granted the lock at
//!   once only if there is no entry, or no waiter behind a holder whose lease has ended.
//! - **M5** Fencing tokens rise with every grant.
//! - **M6** The first waiter knows the end of the holder's lease: it is woken when it becomes first, and when that end
//!   becomes earlier. Every waiter also checks again after its own TTL. So no waiter depends on another one's being
//!   polled: a first waiter may never be polled again, and neither may one that was granted the lock.
//! - **M7** After the close there are no entries, and none are added.
//! - **M8** A lease that only its guard refers to has no state but its entry. It is held from its grant, or from the
//!   claim by its waiter, until its release or the close, and nothing else ends it. Sharing it does not change that:
//!   the shared state ends in the same step, before another caller is granted the lock.

use std::cell::OnceCell;
use std::time::Duration;

use hashbrown::hash_table::{Entry as Slot, OccupiedEntry};
use hashbrown::{DefaultHashBuilder, HashTable};
use tokio::time::Instant;

use super::deferred::{Deferred, WakeList};
use super::entry::Entry;
use super::fences::Fences;
use super::hash::NameHash;
use super::holder::Holder;
use super::queue_position::QueuePosition;
use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;
use super::waiter::Waiter;
use crate::sync::now;
use crate::{FencingToken, Resource};

#[derive(Debug)]
pub(crate) struct Table {
    entries: HashTable<Entry>,
    hasher: DefaultHashBuilder,
    fences: Fences,
    ticket: u64,
    closed: Option<Instant>,
    /// The number of entries at which the table is swept: expired leases of leaked guards are removed.
    sweep_at: usize,
}

/// What an acquire finds.
pub(crate) enum AcquireOutcome<'a> {
    /// The lock was free, and is granted.
    Granted(FencingToken),
    /// Another caller holds the lock: one that held it before, or a waiter that was granted it in this step.
    Held(&'a mut Entry, Ticket, WakeList),
}

/// The smallest number of entries at which a table is swept or shrunk.
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

    /// The entry of a lease that was granted as [`Holder::InProcess`], whether it has been shared since or not. `None`
    /// after the close (M8).
    pub(crate) fn get_in_process(&mut self, hash: NameHash, fence: FencingToken) -> Option<&mut Entry> {
        self.entries.find_mut(hash.whole(), |entry| entry.fence == fence)
    }

    /// Grants the lock to a newcomer if there is no entry (M1, M4), or if the holder's lease has ended and no caller
    /// waits (M3). Otherwise the first waiter replaces a holder whose lease has ended.
    #[inline]
    pub(crate) fn acquire(
        &mut self,
        hash: NameHash,
        resource: &Resource,
        holder: impl FnOnce(FencingToken) -> Holder,
        clock: &OnceCell<Instant>,
    ) -> AcquireOutcome<'_> {
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
                return AcquireOutcome::Granted(fence);
            }
            Slot::Occupied(held) => held.into_mut(),
        };
        let mut wake = WakeList::default();
        if !entry.holder.is_held_at(|| *clock.get_or_init(now)) {
            let Some((_, granted)) = entry.grant_first(&mut self.fences, now) else {
                entry.fence = self.fences.next();
                // A lease that ended by the clock still has its guard. So this drops no last reference under the mutex.
                entry.holder = holder(entry.fence);
                return AcquireOutcome::Granted(entry.fence);
            };
            wake = granted;
        }
        self.ticket += 1;
        AcquireOutcome::Held(entry, Ticket(self.ticket), wake)
    }

    /// Grants a lease that only its guard refers to if the resource has no entry (M1, M4), and writes its fencing token
    /// to the place where the guard keeps it. `false` if it was not granted: then call [`acquire`](Self::acquire).
    ///
    /// Never inlined, so that the token is written to memory before the mutex is free. The caller then moves the guard
    /// in 16-byte pieces, each written by one store; a piece written by two stores just before would stall the load.
    #[inline(never)]
    pub(crate) fn acquire_in_process(
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

    /// Replaces the holder of a waiter's lock if its lease has ended by the clock (M3), unless that waiter is the
    /// holder. Returns the entry, if there still is one.
    pub(crate) fn replace_expired_holder(
        &mut self,
        position: &QueuePosition,
        clock: &OnceCell<Instant>,
    ) -> (Option<&mut Entry>, WakeList) {
        let same = |entry: &Entry| entry.resource == position.resource;
        let Ok(mut held) = self.entries.find_entry(position.hash.whole(), same) else {
            return (None, WakeList::default());
        };
        let holder = &held.get().holder;
        if holder.is_unclaimed_by(position.ticket) || holder.is_held_at(|| *clock.get_or_init(now)) {
            return (Some(held.into_mut()), WakeList::default());
        }
        // The next lease begins now, and not at the time of `clock`, which may have been read before the mutex was
        // taken. A lease that ended by the clock still has its guard, so this drops no last reference under the mutex.
        let Some((_, wake)) = held.get_mut().grant_first(&mut self.fences, now) else {
            held.remove();
            return (None, WakeList::default());
        };
        (Some(held.into_mut()), wake)
    }

    /// Removes a waiter from its queue. `None` if it is not there: it was granted the lock, or its grant has ended
    /// (M2).
    pub(crate) fn leave(&mut self, position: &QueuePosition) -> Option<Deferred<Waiter>> {
        let entry = self.get(position.hash, &position.resource)?;
        let was_first = entry.is_first(position.ticket);
        let waiter = entry.queue.as_mut()?.remove(position.ticket)?;
        Some(Deferred { _removed: waiter, wake: if was_first { entry.wake_first() } else { WakeList::default() } })
    }

    /// Hands over a lock that was granted to a waiter that will not claim it. `None` if the grant has ended (M2).
    pub(crate) fn hand_over_unclaimed(&mut self, position: &QueuePosition) -> Option<Deferred<Holder>> {
        let granted =
            |entry: &Entry| entry.holder.is_unclaimed_by(position.ticket) && entry.resource == position.resource;
        let held = self.entries.find_entry(position.hash.whole(), granted).ok()?;
        let released = hand_over_entry(held, &mut self.fences);
        self.shrink();
        Some(released)
    }

    /// Replaces a holder whose lease has ended by the first waiter, or removes its entry (M1, M3).
    ///
    /// Does nothing if `lease` is no longer the holder's.
    pub(crate) fn hand_over(&mut self, lease: &SharedLease) -> Option<Deferred<Holder>> {
        let held = self.entries.find_entry(lease.hash.whole(), |entry| entry.holder.is(lease)).ok()?;
        let released = hand_over_entry(held, &mut self.fences);
        self.shrink();
        Some(released)
    }

    /// Ends the lease of a [`Holder::InProcess`] with this fence, if it is not shared and no caller waits. That is the
    /// usual case, and no task has to be woken. `false` if it was not done.
    #[inline]
    pub(crate) fn release_uncontended(&mut self, hash: NameHash, fence: FencingToken) -> bool {
        let Ok(held) = self.entries.find_entry(hash.whole(), |entry| entry.fence == fence) else { return false };
        let entry = held.get();
        if entry.queue.is_some() || !matches!(entry.holder, Holder::InProcess(_)) {
            return false;
        }
        // Only the resource has to be dropped, as was just checked. The compiler does not know that, and would check
        // again.
        let (Entry { resource, holder, queue, .. }, _) = held.remove();
        std::mem::forget((holder, queue));
        drop(resource);
        self.shrink();
        true
    }

    /// As [`release_uncontended`](Self::release_uncontended) with waiters or a shared lease, and continues as
    /// [`hand_over`](Self::hand_over). `None` after the close (M8).
    pub(crate) fn release_in_process(&mut self, hash: NameHash, fence: FencingToken) -> Option<Deferred<Holder>> {
        let held = self.entries.find_entry(hash.whole(), |entry| entry.fence == fence).ok()?;
        if let Holder::Shared(lease) = &held.get().holder {
            lease.state.release_alone();
        }
        let released = hand_over_entry(held, &mut self.fences);
        self.shrink();
        Some(released)
    }

    /// Closes and empties the table (M7). The caller has to end the leases and the waits that are returned.
    pub(crate) fn close(&mut self, now: Instant) -> HashTable<Entry> {
        self.closed.get_or_insert(now);
        std::mem::take(&mut self.entries)
    }

    /// Removes entries whose guard was leaked and whose lease has expired. Otherwise such an entry would stay until a
    /// caller asks for the same name. Done only when the number of entries has doubled, so that it costs little.
    #[cold]
    fn sweep(&mut self) {
        let clock = OnceCell::new();
        self.entries.retain(|entry| entry.waiters() > 0 || entry.holder.is_held_at(|| *clock.get_or_init(now)));
        self.sweep_at = self.entries.len().saturating_mul(2).max(SMALL);
    }

    /// Frees the memory of a table that was large before.
    #[inline]
    fn shrink(&mut self) {
        if self.entries.is_empty() && self.entries.capacity() > SMALL {
            self.entries = HashTable::new();
            self.sweep_at = SMALL;
        }
    }
}

/// Replaces a holder whose lease has ended by the first waiter. Without waiters the entry is removed (M1).
#[inline]
fn hand_over_entry(mut held: OccupiedEntry<'_, Entry>, fences: &mut Fences) -> Deferred<Holder> {
    if let Some((holder, wake)) = held.get_mut().grant_first(fences, now) {
        return Deferred { _removed: holder, wake };
    }
    let (entry, _) = held.remove();
    Deferred { _removed: entry.holder, wake: WakeList::default() }
}
