//! A deliberately naive provider: one mutex, one map, and waiters that look every millisecond.
//!
//! It is written from outside, against the public `provider` module alone. Each [`Fault`] makes it wrong in one
//! way, so that the kit can be seen to notice.

mod lease;
mod locks;

use std::sync::Arc;

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::provider::BoxFuture;
use orchestrix_locking::{DistributedLock, DistributedLockProvider, LockError, LockOptions, Resource};

use locks::Locks;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// An extension asks neither who the owner is nor whether the lease has ended.
    ExtendRevives,
    /// A waiter that is cancelled keeps its place in the queue.
    CancelledWaiterStays,
    /// The last waiter is served first.
    LastComeFirstServed,
    /// Every grant has the same token.
    ConstantFence,
    /// Another provider on the same backend knows nothing of the first one's locks.
    WorldOfItsOwn,
    /// A waiter that was granted the lock and never looked keeps it.
    DeadWaiterStays,
    /// Tokens begin anew with the backend.
    FenceBeginsAnew,
    /// Whether the lock is free is asked before it is asked for.
    AsksBeforeItAsks,
    /// A release wakes all waiters, and each of them asks.
    WakesAllWaiters,
    /// A flag that a task sets, too late, says whether the lock is held.
    FlagForClock,
}

/// The provider, and the subject of the kit.
#[derive(Debug, Clone)]
pub(crate) struct Naive(Arc<Locks>);

impl Naive {
    pub(crate) fn with(fault: Fault) -> Self {
        Self(Arc::new(Locks::new(fault)))
    }
}

impl DistributedLockProvider for Naive {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        DistributedLock::new(resource, options, Arc::clone(&self.0) as _)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(async { if self.0.is_closed() { Err(LockError::Closed) } else { Ok(()) } })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.0.close() })
    }
}

impl Subject for Naive {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        Arc::new(self.clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.0.waiters(resource)
    }

    async fn leftovers(&self) -> usize {
        self.0.len()
    }

    async fn another(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        let Fault::WorldOfItsOwn = self.0.fault else { return Some(Arc::new(self.clone())) };
        Some(Arc::new(Self::with(Fault::None)))
    }

    async fn restart(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        Some(Arc::new(Self(Arc::new(self.0.restarted()))))
    }

    async fn commands(&self) -> Option<u64> {
        Some(self.0.commands())
    }
}
