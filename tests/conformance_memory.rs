//! The conformance kit on locks in memory.
#![cfg(all(feature = "conformance", feature = "memory"))]

use std::sync::Arc;

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, Resource};

#[derive(Default)]
struct Memory(InMemoryLockProvider);

impl Subject for Memory {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        Arc::new(self.0.clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.0.inspect(resource).map_or(0, |lock| lock.waiters)
    }

    async fn leftovers(&self) -> usize {
        self.0.len()
    }

    /// As in the next life of a process.
    async fn restart(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        Some(Arc::new(InMemoryLockProvider::new()))
    }
}

orchestrix_locking::conformance_tests!(Memory::default());
