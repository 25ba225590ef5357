//! [`Table`]: the locks of all resources that this process holds or wants.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::OccupiedEntry;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::work::Work;
use super::{Driver, TimerEvent};
use crate::Resource;
use crate::engine::{Context, Event, Lock};
use crate::redis::lease::LeaseOwner;
use crate::redis::timer_queue;
use crate::sync::Inside;

/// Many more than threads, so that two seldom meet at one.
const SHARDS: usize = 64;

pub(super) struct Table<B: LeaseOwner> {
    shards: Box<[Mutex<Shard<B>>]>,
    hasher: RandomState,
}

struct Shard<B: LeaseOwner> {
    /// A table has room for up to twice as many as there are, so that a row is a pointer, and the entry, with its name, has
    /// a place of its own.
    rows: HashTable<Box<Entry<B>>>,
    next_ticket: u64,
}

/// One resource's lock, and the timer of its deadline.
pub(super) struct Entry<B: LeaseOwner> {
    resource: Resource,
    lock: Lock<Driver<B>>,
    timer: Option<timer_queue::Entry>,
}

/// A shard under its mutex. No code of a user runs while it exists.
struct Locked<'a, B: LeaseOwner> {
    shard: MutexGuard<'a, Shard<B>>,
    _inside: Inside,
}

impl<B: LeaseOwner> Table<B> {
    pub(super) fn new() -> Self {
        let shard = || Mutex::new(Shard { rows: HashTable::new(), next_ticket: 0 });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().rows.len()).sum()
    }

    fn hash(&self, resource: &Resource) -> u64 {
        self.hasher.hash_one(resource.as_str())
    }

    fn lock(&self, hash: u64) -> Locked<'_, B> {
        #[expect(clippy::indexing_slicing, reason = "the remainder is less than the length")]
        let shard = self.shards[shard_number(hash)].lock();
        Locked { shard, _inside: Inside::enter() }
    }

    /// Hands an event to a resource's lock. A resource without an entry has a lock that is free.
    pub(super) fn handle(
        &self,
        driver: &Driver<B>,
        resource: &Resource,
        event: Event<'_, Driver<B>>,
        work: &mut Work<B>,
    ) {
        let hash = self.hash(resource);
        let mut locked = self.lock(hash);
        // Under the mutex, so that the time does not go back from one event to the next.
        let now = Instant::now();
        let Shard { rows, next_ticket } = &mut *locked.shard;
        match rows.find_entry(hash, |entry| entry.resource == *resource) {
            Ok(mut row) => {
                row.get_mut().handle(driver, hash, event, now, next_ticket, work);
                remove_if_idle(row);
            }
            Err(absent) => {
                let mut entry = Entry { resource: resource.clone(), lock: Lock::default(), timer: None };
                entry.handle(driver, hash, event, now, next_ticket, work);
                if !entry.lock.is_idle() {
                    absent
                        .into_table()
                        .insert_unique(hash, Box::new(entry), |entry| self.hasher.hash_one(entry.resource.as_str()));
                }
            }
        }
    }

    /// A timer is due. If no lock waits for it any more, it was removed at this moment.
    pub(super) fn deadline_reached(
        &self,
        driver: &Driver<B>,
        hash: u64,
        timer: timer_queue::Entry,
        work: &mut Work<B>,
    ) {
        let mut locked = self.lock(hash);
        let now = Instant::now();
        let Shard { rows, next_ticket } = &mut *locked.shard;
        if let Ok(mut row) = rows.find_entry(hash, |entry| entry.timer == Some(timer)) {
            let entry = row.get_mut();
            entry.timer = None;
            entry.handle(driver, hash, Event::DeadlineReached, now, next_ticket, work);
            remove_if_idle(row);
        }
    }

    /// Hands an event to every lock that it concerns, and does what follows, shard by shard.
    pub(super) fn handle_each<'a>(
        &self,
        driver: &Driver<B>,
        event: impl Fn() -> Event<'a, Driver<B>>,
        concerns: impl Fn(&Resource) -> bool,
    ) {
        for shard in &self.shards {
            let mut work = Work::default();
            {
                let mut shard = shard.lock();
                let _inside = Inside::enter();
                let Shard { rows, next_ticket } = &mut *shard;
                rows.retain(|entry| {
                    if !concerns(&entry.resource) {
                        return true;
                    }
                    let hash = self.hasher.hash_one(entry.resource.as_str());
                    entry.handle(driver, hash, event(), Instant::now(), next_ticket, &mut work);
                    !entry.lock.is_idle()
                });
            }
            driver.perform(work);
        }
    }

    /// Looks at a resource's lock, if there is an entry.
    pub(super) fn look<T>(&self, resource: &Resource, look: impl FnOnce(&Lock<Driver<B>>) -> T) -> Option<T> {
        let hash = self.hash(resource);
        let locked = self.lock(hash);
        locked.shard.rows.find(hash, |entry| entry.resource == *resource).map(|entry| look(&entry.lock))
    }

    /// Looks at every lock, each under its shard's mutex.
    pub(super) fn look_at_each(&self, mut look: impl FnMut(&Lock<Driver<B>>)) {
        for shard in &self.shards {
            let shard = shard.lock();
            let _inside = Inside::enter();
            shard.rows.iter().for_each(|entry| look(&entry.lock));
        }
    }

    /// Which shard a resource is in.
    #[cfg(test)]
    pub(super) fn shard_of(&self, resource: &Resource) -> usize {
        shard_number(self.hash(resource))
    }
}

/// Which shard a hash belongs to. Not by the lowest bits, nor the highest: a shard's own table goes by those.
fn shard_number(hash: u64) -> usize {
    usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or(0)
}

fn remove_if_idle<B: LeaseOwner>(row: OccupiedEntry<'_, Box<Entry<B>>>) {
    if row.get().lock.is_idle() {
        debug_assert!(row.get().timer.is_none(), "a lock without a deadline has a timer");
        row.remove();
    }
}

impl<B: LeaseOwner> Entry<B> {
    fn handle(
        &mut self,
        driver: &Driver<B>,
        hash: u64,
        event: Event<'_, Driver<B>>,
        now: Instant,
        next_ticket: &mut u64,
        work: &mut Work<B>,
    ) {
        self.lock.handle(event, &mut Context::new(driver, &self.resource, now, next_ticket, &mut work.actions));
        if work.actions.reschedule {
            self.reschedule(driver, hash);
        }
        debug_assert!(
            self.timer.is_some_and(|timer| self.lock.deadline().is_some_and(|deadline| timer.is_at(deadline)))
                || self.timer.is_none() && self.lock.deadline().is_none(),
            "the timer is not that of the deadline"
        );
        driver.queue(&self.resource, work);
    }

    /// Sets the timer to the lock's deadline.
    fn reschedule(&mut self, driver: &Driver<B>, hash: u64) {
        let deadline = self.lock.deadline();
        if let (Some(timer), Some(deadline)) = (self.timer, deadline)
            && timer.is_at(deadline)
        {
            return;
        }
        if let Some(timer) = self.timer.take() {
            driver.timers.remove(timer);
        }
        self.timer = deadline.map(|deadline| driver.timers.add(deadline, TimerEvent::Lock(hash)));
    }
}
