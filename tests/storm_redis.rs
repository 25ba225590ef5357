//! The storm of badly behaved clients, on locks on a real Redis server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "http/storm/engine/mod.rs"]
mod engine;
#[path = "support/redis/mod.rs"]
mod support;

use std::sync::Arc;

use orchestrix_locking::{RedisLockOptions, RedisLockProvider};
use support::RedisServer;

#[test]
fn nothing_overlaps_and_nothing_is_left_on_redis() {
    let server = RedisServer::start();
    engine::runtime().block_on(async {
        let options = RedisLockOptions::default().connection_string(server.url());
        let provider = RedisLockProvider::new(options).unwrap();
        let left = provider.clone();
        let kept = || server.keys().iter().filter(|key| !key.ends_with("}:f")).count();
        engine::storm(Arc::new(provider), engine::Backend::Remote, async || left.len() + kept()).await;
    });
}
