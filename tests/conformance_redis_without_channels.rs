//! The conformance kit as a user without any channel: waiting is asking again and again.
//!
//! A provider finds out about channels by trying them, and tries nothing else that it may not.
#![cfg(all(feature = "conformance", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/on_redis.rs"]
mod on_redis;
#[path = "support/redis/mod.rs"]
mod support;

use on_redis::OnRedis;
use support::{FEWEST_COMMANDS, FEWEST_KEYS};

orchestrix_locking::conformance_tests!(OnRedis::restricted(&[FEWEST_COMMANDS, FEWEST_KEYS], Some("channel")));
