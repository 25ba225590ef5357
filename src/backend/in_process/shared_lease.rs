//! [`SharedLease`]: a lease that others than its guard know.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hash::NameHash;
use crate::LockError;
use crate::LockOptions;
use crate::backend::{BackendId, BoxFuture, Lease, LeaseState, Release, Releasing, Term};

/// A lease that others than its guard know: one with an end of its own from its grant on, and any other from when
/// somebody shares it (M8).
///
/// The guard of one with an end keeps it while it is in the table, also when it leaks; one that was shared by its guard
/// may be the table's alone. So what leaves the table is dropped once its mutex is free, unless it had an end.
#[derive(Debug)]
pub(crate) struct SharedLease {
    pub(crate) state: LeaseState,
    /// The hash of the name, by which the table finds it again.
    pub(crate) hash: NameHash,
    pub(crate) owner: Arc<dyn LeaseOwner>,
}

/// Where such leases are granted: what a lease asks of its shard, which knows more of leases than they of it.
pub(crate) trait LeaseOwner: fmt::Debug + Send + Sync {
    /// Gives a lease another length from now on. `false` if it has ended.
    fn extend(&self, lease: &SharedLease, duration: Duration) -> bool;

    /// Ends a lease and hands the lock on.
    fn release(&self, lease: &SharedLease) -> Release;
}

/// Whether a lease with these options ends even if its guard lives. In one process a living guard is renewal enough.
#[inline]
pub(crate) fn has_end(options: &LockOptions) -> bool {
    !options.configured_auto_renew() || options.configured_max_hold().is_some()
}

/// A lease with an end that begins at its grant.
pub(crate) fn term(options: &LockOptions, granted: Instant) -> Term {
    let ttl = options.configured_ttl();
    let term = Term::new(granted, ttl).max_hold(options.configured_max_hold());
    if options.configured_auto_renew() { term.self_renewing(ttl) } else { term }
}

/// How long a grant lasts that its waiter has not come for. There is no guard before that, and it may never come: so
/// nothing renews the lease.
pub(crate) fn lasts_untaken(options: &LockOptions) -> Duration {
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
