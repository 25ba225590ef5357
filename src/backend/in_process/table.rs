//! [`Table`]: the holders and waiters of the locks of one shard. It has no mutex and wakes no task.
//!
//! # Invariants
//!
//! - **M1** A resource has an entry exactly while it is held, or is kept after a release before its least time. Every
//!   waiter waits for a holder. When a holder's lease ends, the first waiters become holders in the same step, as far as
//!   they may, or the entry is removed if there is no other holder.
//! - **M2** A waiter is in exactly one of three states: in one queue; granted, as an unclaimed holder of one entry; or
//!   neither, and then its grant has ended or the table is closed. A claimed lease is a holder of exactly one entry,
//!   or it has ended for ever.
//! - **M3** A holder is removed only when its lease has ended, by the clock or by its own release, and if it is kept, only
//!   after that time. So the holds of two holders overlap only if their modes allow it: all are readers, or all have
//!   permits, with different numbers. Each of several leases ends by itself, whatever the others do.
//! - **M4** Queues of all modes are one, in the order of arrival, and only the first waiter is served, then the next. A
//!   newcomer is granted the lock at once only if there is no entry, or no waiter behind holders whose leases have ended
//!   or beside whom it may hold the lock. The first waiter may never hold the lock beside its holders: if it could, it
//!   would be one.
//! - **M5** Fencing tokens rise with every grant, except among readers that hold the lock together: they have one token.
//! - **M6** The first waiter knows the time before which no holder's lease ends: it is woken when it becomes first, and
//!   when that time becomes earlier. Every waiter also checks again after its own TTL. So no waiter depends on another
//!   one's being polled: a first waiter may never be polled again, and neither may one that was granted the lock.
//! - **M7** After the close there are no entries, and none are added.
//! - **M8** A lease that only its guard refers to has no state but its entry. It is exclusive. It is held from its grant,
//!   or from the claim by its waiter, until its release or the close, and nothing else ends it. Sharing it does not change
//!   that: the shared state ends in the same step, before another caller is granted the lock.

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
use super::holders::{Ended, Grant, Holders};
use super::queue_position::QueuePosition;
use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;
use super::waiter::Waiter;
use crate::sync::now;
use crate::{FencingToken, LockMode, Resource};

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
    /// The lock is granted beside others that hold it.
    Beside(FencingToken, WakeList),
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

    /// Grants the lock to a newcomer if there is no entry (M1, M4), or if no caller waits and the leases of the holders
    /// have ended (M3), or the newcomer may hold it beside them. Otherwise waiters replace holders whose leases have ended.
    #[inline]
    pub(crate) fn acquire(
        &mut self,
        hash: NameHash,
        resource: &Resource,
        mode: LockMode,
        holder: impl FnOnce(Grant) -> Holder,
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
                let holders = Holders::first(mode, holder(Grant { fence, place: 0 }));
                slot.insert(Entry { resource: resource.clone(), fence, holders, queue: None });
                return AcquireOutcome::Granted(fence);
            }
            Slot::Occupied(held) => held.into_mut(),
        };
        let Some(wake) = entry.settle(&mut self.fences, clock) else {
            entry.fence = self.fences.next();
            // A lease that ended by the clock still has its guard. So this drops no last reference under the mutex.
            entry.holders = Holders::first(mode, holder(Grant { fence: entry.fence, place: 0 }));
            return AcquireOutcome::Granted(entry.fence);
        };
        if mode != LockMode::Exclusive
            && let Some(fence) = entry.grant_newcomer(mode, &mut self.fences, holder)
        {
            return AcquireOutcome::Beside(fence, wake);
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
                let holders = Holders::One(Holder::InProcess(ttl));
                slot.insert(Entry { resource: resource.clone(), fence, holders, queue: None });
                *granted = fence;
                true
            }
        }
    }

    /// Replaces holders of a waiter's lock whose leases have ended by the clock (M3), unless that waiter is a holder.
    /// Returns the entry, if there still is one.
    pub(crate) fn replace_expired_holders(
        &mut self,
        position: &QueuePosition,
        clock: &OnceCell<Instant>,
    ) -> (Option<&mut Entry>, WakeList) {
        let same = |entry: &Entry| entry.resource == position.resource;
        let Ok(mut held) = self.entries.find_entry(position.hash.whole(), same) else {
            return (None, WakeList::default());
        };
        if held.get().holders.has_unclaimed(position.ticket) {
            return (Some(held.into_mut()), WakeList::default());
        }
        let Some(wake) = held.get_mut().settle(&mut self.fences, clock) else {
            held.remove();
            return (None, WakeList::default());
        };
        (Some(held.into_mut()), wake)
    }

    /// Removes a waiter from its queue. `None` if it is not there: it was granted the lock, or its grant has ended
    /// (M2). Those behind it may be granted the lock, if it was the first and they may hold it beside its holders.
    pub(crate) fn leave(&mut self, position: &QueuePosition) -> Option<Deferred<Waiter>> {
        let same = |entry: &Entry| entry.resource == position.resource;
        let entry = self.entries.find_mut(position.hash.whole(), same)?;
        let was_first = entry.is_first(position.ticket);
        let waiter = entry.queue.as_mut()?.remove(position.ticket)?;
        let mut wake = WakeList::default();
        if was_first {
            wake = entry.grant_beside(&mut self.fences);
            if wake.first.is_none() {
                wake.first = entry.wake_first().first;
            }
        }
        Some(Deferred { _removed: Some(waiter), wake })
    }

    /// Hands over a lock that was granted to a waiter that will not claim it. `None` if the grant has ended (M2).
    pub(crate) fn hand_over_unclaimed(&mut self, position: &QueuePosition) -> Option<Deferred<Holders>> {
        let granted =
            |entry: &Entry| entry.holders.has_unclaimed(position.ticket) && entry.resource == position.resource;
        let held = self.entries.find_entry(position.hash.whole(), granted).ok()?;
        let place = held.get().unclaimed_by(position.ticket).map_or(0, |(grant, _)| grant.place);
        let released = hand_over_entry(held, place, &mut self.fences);
        self.shrink();
        Some(released)
    }

    /// Replaces a holder whose lease has ended by the first waiters, or removes its entry (M1, M3).
    ///
    /// Does nothing if `lease` holds nothing any more.
    pub(crate) fn hand_over(&mut self, lease: &SharedLease) -> Option<Deferred<Holders>> {
        let held = self.entries.find_entry(lease.hash.whole(), |entry| entry.holders.has(lease)).ok()?;
        let released = hand_over_entry(held, lease.place, &mut self.fences);
        self.shrink();
        Some(released)
    }

    /// Keeps what a lease has held taken until this time. Its guard has just released it.
    ///
    /// Does nothing if `lease` holds nothing any more.
    pub(crate) fn keep(&mut self, lease: &SharedLease, until: Instant) -> Option<Deferred<Holders>> {
        let entry = self.entries.find_mut(lease.hash.whole(), |entry| entry.holders.has(lease))?;
        let removed = entry.holders.keep(lease, until).map(Holders::One);
        // The end is new to the first waiter (M6).
        Some(Deferred { _removed: removed, wake: entry.wake_first() })
    }

    /// Ends the lease of a [`Holder::InProcess`] with this fence, if it is not shared and no caller waits. That is the
    /// usual case, and no task has to be woken. `false` if it was not done.
    #[inline]
    pub(crate) fn release_uncontended(&mut self, hash: NameHash, fence: FencingToken) -> bool {
        let Ok(held) = self.entries.find_entry(hash.whole(), |entry| entry.fence == fence) else { return false };
        let entry = held.get();
        if entry.queue.is_some() || !matches!(entry.holders, Holders::One(Holder::InProcess(_))) {
            return false;
        }
        // Only the resource has to be dropped, as was just checked. The compiler does not know that, and would check
        // again.
        let (Entry { resource, holders, queue, .. }, _) = held.remove();
        std::mem::forget((holders, queue));
        drop(resource);
        self.shrink();
        true
    }

    /// As [`release_uncontended`](Self::release_uncontended) with waiters or a shared lease, and continues as
    /// [`hand_over`](Self::hand_over). `None` after the close (M8).
    pub(crate) fn release_in_process(&mut self, hash: NameHash, fence: FencingToken) -> Option<Deferred<Holders>> {
        let held = self.entries.find_entry(hash.whole(), |entry| entry.fence == fence).ok()?;
        if let Holders::One(Holder::Shared(lease)) = &held.get().holders {
            lease.state.release_alone();
        }
        let released = hand_over_entry(held, 0, &mut self.fences);
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
        self.entries.retain(|entry| entry.waiters() > 0 || entry.holders.remove_ended(&clock) != Ended::All);
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

/// Replaces the holder at this place, whose lease has ended, by the first waiters. Without a waiter and another holder the
/// entry is removed (M1).
#[inline]
fn hand_over_entry(mut held: OccupiedEntry<'_, Entry>, place: u32, fences: &mut Fences) -> Deferred<Holders> {
    let replaced = match &held.get().holders {
        Holders::One(_) => {
            held.get_mut().grant_first(fences, now).map(|(before, wake)| Deferred { _removed: Some(before), wake })
        }
        Holders::Several(_) => held.get_mut().replace_one_of_several(place, fences),
    };
    if let Some(replaced) = replaced {
        return replaced;
    }
    let (entry, _) = held.remove();
    Deferred { _removed: Some(entry.holders), wake: WakeList::default() }
}
