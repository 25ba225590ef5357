//! The conformance kit on the provider of `examples/own_provider.rs`.
#![cfg(feature = "conformance")]

#[path = "../examples/own_provider.rs"]
mod own_provider;

use std::sync::Arc;

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::{DistributedLockProvider, Resource};
use own_provider::TableProvider;

struct Table(TableProvider);

impl Subject for Table {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        Arc::new(self.0.clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.0.waiters(resource)
    }

    async fn leftovers(&self) -> usize {
        self.0.len()
    }
}

orchestrix_locking::conformance_tests!(Table(TableProvider::new()));
