//! The conformance kit on the provider of `examples/own_provider.rs`.
#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)]

#[path = "../examples/own_provider.rs"]
mod own_provider;

use std::sync::Arc;

#[cfg(feature = "metrics")]
use orchestrix_locking::LockOptions;
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

/// As docs/providers.md says: a guard that was held when the provider closed raises no alert.
#[cfg(feature = "metrics")]
#[tokio::test]
async fn a_guard_that_is_held_at_the_close_is_counted_as_closed() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let counters = recorder.snapshotter();
    let provider = TableProvider::new();
    let lock = provider.create_lock(Resource::try_from("name").unwrap(), LockOptions::default()).unwrap();
    let guard = lock.acquire().await.unwrap();
    provider.close().await;
    metrics::with_local_recorder(&recorder, || drop(guard));
    let counted: Vec<_> =
        counters.snapshot().into_vec().into_iter().map(|(key, ..)| key.key().name().to_owned()).collect();
    assert_eq!(counted, ["orchestrix_locking_closed_total"]);
}
