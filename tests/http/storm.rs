//! The storm on locks in memory.

mod engine;

use std::sync::Arc;

use orchestrix_locking::InMemoryLockProvider;

#[test]
fn nothing_overlaps_and_nothing_is_left_in_memory() {
    engine::runtime().block_on(async {
        let provider = InMemoryLockProvider::new();
        let left = provider.clone();
        engine::storm(Arc::new(provider), engine::Backend::Here, async || left.len()).await;
    });
}
