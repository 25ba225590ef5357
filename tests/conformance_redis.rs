//! The conformance kit on a real Redis server, one for each case.
#![cfg(all(feature = "conformance", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/redis/mod.rs"]
mod support;

use std::sync::{Arc, OnceLock};

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::{DistributedLockProvider, RedisLockOptions, RedisLockProvider, Resource};
use support::RedisServer;

struct Redis {
    server: RedisServer,
    provider: OnceLock<RedisLockProvider>,
}

impl Redis {
    fn new() -> Self {
        Self { server: RedisServer::start(), provider: OnceLock::new() }
    }
}

impl Subject for Redis {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        let options = RedisLockOptions::default().connection_string(self.server.url());
        Arc::new(self.provider.get_or_init(|| RedisLockProvider::new(options).unwrap()).clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.provider.get().map_or(0, |provider| provider.waiters(resource))
    }

    /// What the process knows, and every key but the fences, which outlive their locks on purpose.
    async fn leftovers(&self) -> usize {
        let kept = self.provider.get().map_or(0, RedisLockProvider::len);
        kept + self.server.keys().iter().filter(|key| !key.ends_with("}:f")).count()
    }
}

orchestrix_locking::conformance_tests!(Redis::new());
