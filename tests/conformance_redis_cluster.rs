//! The conformance kit on a cluster of three nodes, one for each case.
#![cfg(all(feature = "conformance", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/on_redis.rs"]
mod on_redis;
#[path = "support/redis/mod.rs"]
mod support;

use on_redis::OnRedis;

orchestrix_locking::conformance_tests!(OnRedis::in_cluster());
