//! A request under a layer, dropped at every await point, with locks in memory. Those on Redis are in `tests/redis`.

use std::sync::Arc;

use orchestrix_locking::InMemoryLockProvider;

#[path = "../support/layers.rs"]
mod layers;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_dropped_at_every_await_point_leave_nothing_in_memory() {
    let provider = InMemoryLockProvider::new();
    let nothing_left = || provider.is_empty();
    layers::requests_dropped_at_every_await_point_leave_nothing(Arc::new(provider.clone()), nothing_left).await;
}
