//! The conformance kit as a user without any channel: waiting is asking again and again.
#![cfg(all(feature = "conformance", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "support/redis/mod.rs"]
mod support;

use std::sync::{Arc, OnceLock};

use orchestrix_locking::conformance::Subject;
use orchestrix_locking::{DistributedLockProvider, RedisLockOptions, RedisLockProvider, Resource};
use support::{FEWEST_COMMANDS, FEWEST_KEYS, RedisServer};

struct Redis {
    server: RedisServer,
    provider: OnceLock<RedisLockProvider>,
}

impl Redis {
    fn new() -> Self {
        let user = format!("locks on >secret resetchannels -@all {FEWEST_COMMANDS} {FEWEST_KEYS}");
        Self { server: RedisServer::builder().user_acl(&user).start(), provider: OnceLock::new() }
    }
}

impl Subject for Redis {
    async fn make(&self) -> Arc<dyn DistributedLockProvider> {
        let options = RedisLockOptions::default().connection_string(self.server.url_as("locks", "secret"));
        Arc::new(self.provider.get_or_init(|| RedisLockProvider::new(options).unwrap()).clone())
    }

    async fn waiters(&self, resource: &Resource) -> usize {
        self.provider.get().map_or(0, |provider| provider.waiters(resource))
    }

    async fn leftovers(&self) -> usize {
        let kept = self.provider.get().map_or(0, RedisLockProvider::len);
        kept + self.server.keys().iter().filter(|key| !key.ends_with("}:f")).count()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let refused = self.server.acl_log();
        // A provider finds out about channels by trying them, and tries nothing else that it may not.
        assert!(refused.iter().all(|entry| entry["reason"] == "channel"), "{refused:?}");
    }
}

orchestrix_locking::conformance_tests!(Redis::new());
