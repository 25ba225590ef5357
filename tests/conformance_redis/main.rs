//! The conformance kit on Redis, with servers of its own for each case.
#![cfg(all(feature = "conformance", feature = "redis"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../support/on_redis.rs"]
mod on_redis;
#[path = "../support/redis/mod.rs"]
mod support;

/// One server, and a user who may do everything.
mod one_server {
    use crate::on_redis::OnRedis;

    orchestrix_locking::conformance_tests!(OnRedis::new());
}

/// A user who may do no more than is needed, and is refused nothing.
mod fewest_permissions {
    use crate::on_redis::OnRedis;
    use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES};

    orchestrix_locking::conformance_tests!(OnRedis::restricted(&[FEWEST_COMMANDS, FEWEST_KEYS, INBOXES], None));
}

/// A user without any channel: waiting is asking again and again.
///
/// A provider finds out about channels by trying them, and tries nothing else that it may not.
mod without_channels {
    use crate::on_redis::OnRedis;
    use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS};

    orchestrix_locking::conformance_tests!(OnRedis::restricted(&[FEWEST_COMMANDS, FEWEST_KEYS], Some("channel")));
}

/// A primary with a replica, and three sentinels.
mod sentinel {
    use crate::on_redis::OnRedis;

    orchestrix_locking::conformance_tests!(OnRedis::with_sentinels());
}

/// A cluster of three nodes.
mod cluster {
    use crate::on_redis::OnRedis;

    orchestrix_locking::conformance_tests!(OnRedis::in_cluster());
}
