//! [`SharedLease`]: a lease that more than its guard refers to.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hash::NameHash;
use crate::backend::{BackendId, BoxFuture, Lease, LeaseState, PackedInstant, Release, Releasing, Term};
use crate::{LockError, LockMode, LockOptions};

/// A lease that more than its guard refers to. A lease that is not [plain](is_plain) is one from its grant on, any other
/// lease from the time at which a handle or a loss signal first needs it (M8).
///
/// The guard of such a lease owns it, also if the guard leaks; so the table's reference is never the last one. The
/// table may have the last reference to a lease that was shared later. So a holder that leaves the table is dropped
/// after the mutex is free, unless its lease was not plain.
#[derive(Debug)]
pub(crate) struct SharedLease {
    pub(crate) state: LeaseState,
    /// The hash of the name, by which the table finds it again.
    pub(crate) hash: NameHash,
    /// The place among several holders.
    pub(crate) place: u32,
    /// Until when the lock stays taken at least.
    pub(crate) at_least: Option<PackedInstant>,
    pub(crate) owner: Arc<dyn LeaseOwner>,
}

/// What a lease needs of its shard. A trait, so that this module does not depend on `shard`, which depends on this one.
pub(crate) trait LeaseOwner: fmt::Debug + Send + Sync {
    /// Sets the end of a lease to `duration` from now. `false` if it has ended.
    fn extend(&self, lease: &SharedLease, duration: Duration) -> bool;

    /// Ends a lease and hands the lock over.
    fn release(&self, lease: &SharedLease) -> Release;
}

/// Whether a lease with these options ends while its guard lives. In one process a living guard renews its lease by
/// itself.
#[inline]
pub(crate) fn has_end(options: &LockOptions) -> bool {
    !options.configured_auto_renew() || options.configured_max_hold().is_some()
}

/// Whether a lease with these options is one that only its guard refers to, until it is shared (M8).
#[inline]
pub(crate) fn is_plain(options: &LockOptions) -> bool {
    !has_end(options) && options.configured_mode() == LockMode::Exclusive && options.configured_at_least().is_zero()
}

/// The term of a lease that is not plain, counted from its grant.
pub(super) fn term(options: &LockOptions, granted: Instant) -> Term {
    let ttl = options.configured_ttl();
    let term = Term::new(granted, ttl).max_hold(options.configured_max_hold());
    if options.configured_auto_renew() { term.self_renewing(ttl) } else { term }
}

/// How long a grant lasts that its waiter has not claimed. Before the claim there is no guard, so nothing renews the
/// lease, and a waiter may never be polled again.
pub(crate) fn unclaimed_lease(options: &LockOptions) -> Duration {
    let ttl = options.configured_ttl();
    options.configured_max_hold().map_or(ttl, |max_hold| max_hold.min(ttl))
}

impl Lease for SharedLease {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        let extended = self.owner.extend(&self, duration);
        Box::pin(std::future::ready(Ok(extended)))
    }

    fn release(self: Arc<Self>) -> Releasing {
        Releasing::ready(Ok(self.owner.release(&self)))
    }

    fn release_at_once(&self) -> Option<Release> {
        Some(self.owner.release(self))
    }

    fn granted_by(&self) -> Option<BackendId> {
        Some(BackendId::of(&*self.owner))
    }
}
