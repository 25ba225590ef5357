//! [`MemoryLease`]: a lease that others than its guard know.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::hash::NameHash;
use super::shard::Shard;
use crate::LockError;
use crate::LockOptions;
use crate::backend::{BoxFuture, Lease, LeaseState, LockBackend, Release, Releasing, Term};

/// A lease that others than its guard know: one with an end of its own from its grant on, and any other from when
/// somebody shares it (M8).
///
/// The guard of one with an end keeps it while it is in the table, also when it leaks; one that was shared by its guard
/// may be the table's alone. So what leaves the table is dropped once its mutex is free, unless it had an end.
#[derive(Debug)]
pub(super) struct MemoryLease {
    pub(super) state: LeaseState,
    /// The hash of the name, by which the table finds it again.
    pub(super) hash: NameHash,
    pub(super) shard: Arc<Shard>,
}

/// Whether a lease with these options ends even if its guard lives. In one process a living guard is renewal enough.
#[inline]
pub(super) fn has_end(options: &LockOptions) -> bool {
    !options.configured_auto_renew() || options.configured_max_hold().is_some()
}

/// A lease with an end that begins at its grant.
pub(super) fn term(options: &LockOptions, granted: Instant) -> Term {
    let ttl = options.configured_ttl();
    let term = Term::new(granted, ttl).max_hold(options.configured_max_hold());
    if options.configured_auto_renew() { term.self_renewing(ttl) } else { term }
}

/// How long a grant lasts that its waiter has not come for. There is no guard before that, and it may never come: so
/// nothing renews the lease.
pub(super) fn lasts_untaken(options: &LockOptions) -> Duration {
    let ttl = options.configured_ttl();
    options.configured_max_hold().map_or(ttl, |max_hold| max_hold.min(ttl))
}

impl Lease for MemoryLease {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        let extended = self.shard.extend(&self, duration);
        Box::pin(std::future::ready(Ok(extended)))
    }

    fn release(self: Arc<Self>) -> Releasing {
        Releasing::ready(Ok(self.shard.release(&self)))
    }

    fn release_at_once(&self) -> Option<Release> {
        Some(self.shard.release(self))
    }

    fn is_granted_by(&self, backend: &dyn LockBackend) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.shard), backend)
    }
}
