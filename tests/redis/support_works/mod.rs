//! The support itself: a fault that does nothing would make every test that uses it worthless.

mod cluster;
mod command_log;
mod proxy;
mod resp;
mod sentinel_set;
mod server;
mod tls;

use std::time::Duration;

/// Longer than anything here takes, so that a test that would hang fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Long enough to see that no answer comes.
pub(crate) const A_WHILE: Duration = Duration::from_millis(150);
