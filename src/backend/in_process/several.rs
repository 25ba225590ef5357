//! [`Several`]: the holders of a lock that are held beside each other.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::holder::Holder;
use super::shared_lease::SharedLease;
use super::wait_queue::Ticket;
use crate::{FencingToken, LockMode};

/// The readers of a lock, or the holders of its permits. Each has a lease of its own, which ends by itself, whatever the
/// others do.
///
/// Every holder has a place: for a permit its number. A newcomer is given the lowest free one.
#[derive(Debug)]
pub(crate) struct Several {
    /// That of the latest grant. Callers may ask for permits with different numbers.
    mode: LockMode,
    /// The last place is never empty.
    places: Vec<Option<Holder>>,
    /// The empty places.
    free: BTreeSet<u32>,
    /// Which places were granted to waiters that have not claimed them yet.
    unclaimed: BTreeMap<Ticket, (u32, FencingToken)>,
    /// No lease ends before this time. It may be too early, if leases were extended since: then a look costs a search.
    earliest: Option<Instant>,
}

impl Several {
    pub(super) fn new(mode: LockMode) -> Self {
        Self { mode, places: Vec::new(), free: BTreeSet::new(), unclaimed: BTreeMap::new(), earliest: None }
    }

    pub(crate) fn mode(&self) -> LockMode {
        self.mode
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.places.iter().flatten()
    }

    pub(super) fn into_holders(self) -> impl Iterator<Item = Holder> {
        self.places.into_iter().flatten()
    }

    /// Whether a caller in this mode may hold the lock beside the present holders. For a permit, fewer than its own
    /// number are held; then the lowest free place is below that number.
    pub(super) fn admits(&self, mode: LockMode) -> bool {
        self.mode.is_compatible_with(mode)
            && match mode {
                LockMode::Permits(n) => self.places.len() - self.free.len() < n as usize,
                LockMode::Exclusive | LockMode::Shared => true,
            }
    }

    /// The lowest free place.
    pub(super) fn next_place(&self) -> u32 {
        let behind = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.free.first().copied().unwrap_or(behind)
    }

    /// Adds a holder at the [next place](Self::next_place).
    pub(super) fn add(&mut self, mode: LockMode, holder: Holder) {
        self.mode = mode;
        self.ends_at(holder.ends());
        match self.free.pop_first() {
            None => self.places.push(Some(holder)),
            Some(place) => {
                if let Some(empty) = self.places.get_mut(place as usize) {
                    *empty = Some(holder);
                }
            }
        }
    }

    /// Adds a waiter that was granted the lock.
    pub(super) fn add_unclaimed(&mut self, mode: LockMode, ticket: Ticket, fence: FencingToken, ends: Instant) {
        self.unclaimed.insert(ticket, (self.next_place(), fence));
        self.add(mode, Holder::Unclaimed(ticket, ends));
    }

    /// The place, the fencing token and the end of a grant that this waiter has not claimed yet.
    pub(super) fn unclaimed_by(&self, ticket: Ticket) -> Option<(u32, FencingToken, Instant)> {
        let (place, fence) = self.unclaimed.get(&ticket)?;
        match self.places.get(*place as usize)? {
            Some(Holder::Unclaimed(_, ends)) => Some((*place, *fence, *ends)),
            _ => None,
        }
    }

    /// Replaces a grant that was not claimed by its lease.
    pub(super) fn claim(&mut self, ticket: Ticket, holder: Holder) {
        let place = self.unclaimed.remove(&ticket).map(|(place, _)| place);
        self.ends_at(holder.ends());
        if let Some(at) = place.and_then(|place| self.places.get_mut(place as usize)) {
            *at = Some(holder);
        }
    }

    /// Whether this lease has a place here.
    pub(super) fn has(&self, lease: &SharedLease) -> bool {
        matches!(self.places.get(lease.place as usize), Some(Some(holder)) if holder.is(lease))
    }

    /// Empties a place.
    pub(super) fn remove(&mut self, place: u32) -> Option<Holder> {
        let holder = self.places.get_mut(place as usize)?.take()?;
        if let Holder::Unclaimed(ticket, _) = holder {
            self.unclaimed.remove(&ticket);
        }
        self.free.insert(place);
        self.trim();
        Some(holder)
    }

    /// Keeps a place taken until this time, without a guard. Returns the lease that had it.
    pub(super) fn keep(&mut self, place: u32, until: Instant) -> Option<Holder> {
        self.ends_at(Some(until));
        self.places.get_mut(place as usize)?.replace(Holder::Kept(until))
    }

    /// The earliest time at which a lease may end. `None` if none ends by itself.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.earliest
    }

    /// Takes note of a lease that ends at this time.
    pub(super) fn ends_at(&mut self, ends: Option<Instant>) {
        if let Some(ends) = ends {
            self.earliest = Some(self.earliest.map_or(ends, |earliest| earliest.min(ends)));
        }
    }

    /// Removes the holders whose leases have ended at this time. Whether there were any.
    ///
    /// A lease that ended by the clock still has its guard. So this drops no last reference.
    pub(super) fn remove_ended(&mut self, now: Instant) -> bool {
        if self.earliest.is_none_or(|earliest| now < earliest) {
            return false;
        }
        self.earliest = None;
        let mut removed = false;
        for place in 0..self.places.len() {
            let Some(at) = self.places.get_mut(place) else { break };
            let Some(holder) = at else { continue };
            if holder.is_held_at(|| now) {
                let ends = holder.ends();
                self.ends_at(ends);
                continue;
            }
            if let Holder::Unclaimed(ticket, _) = holder {
                self.unclaimed.remove(ticket);
            }
            *at = None;
            self.free.extend(u32::try_from(place));
            removed = true;
        }
        self.trim();
        removed
    }

    /// Removes the empty places behind the last holder.
    fn trim(&mut self) {
        while let Some(None) = self.places.last() {
            self.places.pop();
            self.free.pop_last();
        }
    }
}
