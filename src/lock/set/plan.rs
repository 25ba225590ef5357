//! [`Plan`]: the locks of a set, in the order in which they are taken.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::backend::LockBackend;
use crate::{DistributedLock, LockError};

/// The most locks that a set may have.
pub(super) const MAX_LOCKS: usize = 64;

/// The locks of a set, by the byte order of their names, and what grants them.
pub(super) struct Plan {
    pub(super) locks: Vec<DistributedLock>,
    pub(super) backends: Backends,
}

impl Plan {
    /// Puts locks in order. One name counts once.
    pub(super) fn new(locks: impl Iterator<Item = Result<DistributedLock, LockError>>) -> Result<Self, LockError> {
        let mut by_name = BTreeMap::new();
        for lock in locks {
            let lock = lock?;
            match by_name.entry(lock.resource().clone()) {
                Entry::Vacant(free) => _ = free.insert(lock),
                Entry::Occupied(known) => same_mode(known.get(), &lock)?,
            }
            // An iterator may have no end.
            if by_name.len() > MAX_LOCKS {
                return Err(wrong_number("more than 64"));
            }
        }
        if by_name.is_empty() {
            return Err(wrong_number("none"));
        }
        if by_name.len() > 1
            && let Some(kept) = by_name.values().find(|lock| !lock.options().configured_at_least().is_zero())
        {
            return Err(kept_in_a_set(kept));
        }
        let locks: Vec<_> = by_name.into_values().collect();
        let mut backends: Vec<Arc<dyn LockBackend>> = Vec::new();
        for lock in &locks {
            if backends.iter().all(|known| known.id() != lock.backend().id()) {
                backends.push(Arc::clone(lock.backend()));
            }
        }
        Ok(Self { locks, backends: Backends(backends.into()) })
    }
}

/// The backends of a set. There is one, unless a provider has several.
#[derive(Clone)]
pub(super) struct Backends(Arc<[Arc<dyn LockBackend>]>);

impl Backends {
    /// Begins several calls, which a backend may send together.
    pub(super) fn together(&self, calls: &mut dyn FnMut()) {
        nested(&self.0, calls);
    }
}

fn nested(backends: &[Arc<dyn LockBackend>], calls: &mut dyn FnMut()) {
    match backends.split_first() {
        None => calls(),
        Some((backend, others)) => backend.together(&mut || nested(others, calls)),
    }
}

fn same_mode(one: &DistributedLock, other: &DistributedLock) -> Result<(), LockError> {
    if one.mode() == other.mode() {
        return Ok(());
    }
    let given = format!("{} and {} for {:?}", one.mode(), other.mode(), one.resource().as_str());
    Err(LockError::invalid_options("mode", given, "one mode for each name of a set"))
}

/// What a set takes and gives back while it waits for the rest would stay taken.
fn kept_in_a_set(lock: &DistributedLock) -> LockError {
    let given = format!("{:?} for {:?}", lock.options().configured_at_least(), lock.resource().as_str());
    LockError::invalid_options("at_least", given, "zero for a lock of a set of several names")
}

fn wrong_number(given: &str) -> LockError {
    LockError::invalid_options("requests (of a set)", given, format!("1 to {MAX_LOCKS} names"))
}
