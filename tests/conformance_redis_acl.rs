//! The conformance kit as a user who may do no more than is needed, who is refused nothing.
#![cfg(all(feature = "conformance", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/on_redis.rs"]
mod on_redis;
#[path = "support/redis/mod.rs"]
mod support;

use on_redis::OnRedis;
use support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES};

orchestrix_locking::conformance_tests!(OnRedis::restricted(&[FEWEST_COMMANDS, FEWEST_KEYS, INBOXES], None));
