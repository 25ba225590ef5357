//! [`Table`]: the entries of all resources that anybody here is concerned with.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};

use super::deferred::Deferred;
use super::entry::Entry;
use crate::Resource;
use crate::redis::timer_queue;
use crate::sync::Inside;

/// Many more than threads, so that two seldom meet at one.
const SHARDS: usize = 64;

/// A table has room for up to twice as many as there are, so that a row is a pointer, and the entry, with its name, has a
/// place of its own.
type Rows = HashTable<Box<Entry>>;

pub(super) struct Table {
    shards: Box<[Mutex<Rows>]>,
    hasher: RandomState,
}

/// The entries whose hash is much like that of one resource, under their mutex.
///
/// Fields are dropped in the order in which they are declared: the mutex is free before what was deferred is done.
pub(super) struct Shard<'a> {
    rows: MutexGuard<'a, Rows>,
    _inside: Inside,
    hash: u64,
    hasher: &'a RandomState,
    after: Deferred,
}

impl Table {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    /// By which the entry of a resource is [found again](Self::shard_of).
    pub(super) fn hash(&self, resource: &Resource) -> u64 {
        self.hasher.hash_one(resource.as_str())
    }

    pub(super) fn shard(&self, resource: &Resource) -> Shard<'_> {
        self.shard_of(self.hash(resource))
    }

    pub(super) fn shard_of(&self, hash: u64) -> Shard<'_> {
        #[expect(clippy::indexing_slicing, reason = "the remainder is less than the length")]
        let rows = self.shards[shard_number(hash)].lock();
        Shard { rows, _inside: Inside::enter(), hash, hasher: &self.hasher, after: Deferred::default() }
    }

    /// Shows every entry, each under its shard's mutex.
    pub(super) fn each(&self, mut show: impl FnMut(&mut Entry, &mut Deferred)) {
        for shard in &self.shards {
            // Dropped last.
            let mut after = Deferred::default();
            let mut rows = shard.lock();
            let _inside = Inside::enter();
            rows.iter_mut().for_each(|entry| show(entry, &mut after));
            drop(rows);
        }
    }

    /// Every resource of which there is an entry. Others may come and go meanwhile.
    pub(super) fn resources(&self) -> Vec<Resource> {
        let mut resources = Vec::new();
        self.each(|entry, _| resources.push(entry.resource().clone()));
        resources
    }
}

/// Which shard a hash belongs to. Not by the lowest bits, nor the highest: a shard's own table goes by those.
pub(super) fn shard_number(hash: u64) -> usize {
    usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or(0)
}

impl Shard<'_> {
    pub(super) fn get(&self, resource: &Resource) -> Option<&Entry> {
        self.rows.find(self.hash, |entry| entry.resource() == resource).map(|entry| &**entry)
    }

    pub(super) fn get_mut(&mut self, resource: &Resource) -> Option<&mut Entry> {
        self.rows.find_mut(self.hash, |entry| entry.resource() == resource).map(|entry| &mut **entry)
    }

    /// The same, and what is left to do once the mutex is free.
    pub(super) fn find(&mut self, resource: &Resource) -> Option<(&mut Entry, &mut Deferred)> {
        let entry = self.rows.find_mut(self.hash, |entry| entry.resource() == resource)?;
        Some((&mut **entry, &mut self.after))
    }

    /// The entry that waits for this time of the agenda.
    pub(super) fn waiting_for(&mut self, due: timer_queue::Entry) -> Option<(&mut Entry, &mut Deferred)> {
        let entry = self.rows.find_mut(self.hash, |entry| entry.waits_for(due))?;
        Some((&mut **entry, &mut self.after))
    }

    /// The entry of a resource, made if there is none, and what is left to do once the mutex is free.
    pub(super) fn find_or_insert(&mut self, resource: &Resource) -> (&mut Entry, &mut Deferred) {
        let hasher = self.hasher;
        let slot = self.rows.entry(
            self.hash,
            |entry| entry.resource() == resource,
            |entry| hasher.hash_one(entry.resource().as_str()),
        );
        let entry = slot.or_insert_with(|| Box::new(Entry::new(resource.clone()))).into_mut();
        (&mut **entry, &mut self.after)
    }

    pub(super) fn remove(&mut self, resource: &Resource) {
        if let Ok(row) = self.rows.find_entry(self.hash, |entry| entry.resource() == resource) {
            row.remove();
        }
    }
}
