//! [`MemoryLease`]: one lock, waited for or held.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::shard::Shard;
use crate::LockError;
use crate::LockOptions;
use crate::provider::{BoxFuture, Lease, LeaseState, Releasing, Term};

/// One acquire: from its place in a queue, if it has to wait, to its end as a lease.
#[derive(Debug)]
pub(super) struct MemoryLease {
    pub(super) state: LeaseState,
    /// The hash of the name, by which the table finds it again.
    pub(super) hash: u64,
    options: LockOptions,
    shard: Arc<Shard>,
}

impl MemoryLease {
    pub(super) fn new(state: LeaseState, hash: u64, options: LockOptions, shard: Arc<Shard>) -> Self {
        Self { state, hash, options, shard }
    }

    /// Takes a lease that was granted while its caller waited. `false` if it has ended before.
    pub(super) fn take(&self) -> bool {
        if self.options.get_auto_renew() {
            self.state.renew_itself(self.options.get_ttl())
        } else {
            self.state.is_held()
        }
    }

    /// Whether the lease ends even if its guard lives.
    pub(super) fn has_end(&self) -> bool {
        !self.options.get_auto_renew() || self.options.get_max_hold().is_some()
    }

    pub(super) fn options(&self) -> &LockOptions {
        &self.options
    }

    pub(super) fn shard(&self) -> &Arc<Shard> {
        &self.shard
    }
}

/// The lease that a grant at `now` begins for a caller who has it at once. In one process a living guard is renewal
/// enough.
pub(super) fn term(options: &LockOptions, now: Instant) -> Term {
    let term = untaken_term(options, now);
    if options.get_auto_renew() { term.self_renewing(options.get_ttl()) } else { term }
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
}
