//! [`MemoryLease`]: one lock, waited for or held.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shard::Shard;
use crate::LockError;
use crate::LockOptions;
use crate::provider::{BoxFuture, Lease, LeaseState, Release, Releasing, Term};
use crate::sync::now;

/// One acquire: from its place in a queue, if it has to wait, to its end as a lease.
///
/// Of a lease that was granted at once and has no end of its own there is none until somebody shares it (M8).
///
/// Whoever has it, the guard or the future that waits, keeps it while it is in the table, also when it leaks; a lease
/// that was shared by its guard may be the table's alone. So what leaves the table is dropped once its mutex is free,
/// unless it had an end, and so was never shared in that way.
#[derive(Debug)]
pub(super) struct MemoryLease {
    pub(super) state: LeaseState,
    /// The hash of the name, by which the table finds it again.
    pub(super) hash: u64,
    pub(super) shard: Arc<Shard>,
}

/// Whether a lease with these options ends even if its guard lives. In one process a living guard is renewal enough.
#[inline]
pub(super) fn has_end(options: &LockOptions) -> bool {
    !options.get_auto_renew() || options.get_max_hold().is_some()
}

/// The lease of a caller who is granted it at once, where it has an end.
pub(super) fn term(options: &LockOptions) -> Term {
    let ttl = options.get_ttl();
    let term = Term::new(now(), ttl).max_hold(options.get_max_hold());
    if options.get_auto_renew() { term.self_renewing(ttl) } else { term }
}

/// The lease that a grant at `now` begins for a waiter. There is no guard before the waiter comes for it, and it may
/// never come: so nothing renews the lease before that.
pub(super) fn untaken_term(options: &LockOptions, now: Instant) -> Term {
    Term::new(now, options.get_ttl()).max_hold(options.get_max_hold())
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
}
