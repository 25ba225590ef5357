//! The servers of a run, and the ways to them.

use std::io;
use std::path::Path;

use super::clock::Clock;
use super::plan::WORKERS;
use crate::support::{Proxy, RedisServer};

/// Milliseconds after which a server says that it is busy.
const BUSY_AFTER: &str = "100";

/// What lives on from round to round.
#[derive(Debug)]
pub(crate) struct World {
    /// Under faults.
    pub(crate) locks: RedisServer,
    /// Never under faults.
    pub(crate) stores: RedisServer,
    /// The ways of all workers but the last.
    pub(super) proxies: Vec<Proxy>,
    /// Where it can be moved.
    pub(super) clock: Option<Clock>,
}

impl World {
    /// Its server forgets now and then; its clock is right.
    pub(crate) fn steady() -> Self {
        Self::with(None)
    }

    /// Its server's clock is moved now and then; it never forgets. `directory` is for what that needs.
    ///
    /// # Errors
    /// If there is no C compiler.
    pub(crate) fn moving(directory: &Path) -> io::Result<Self> {
        Ok(Self::with(Some(Clock::new(directory)?)))
    }

    fn with(clock: Option<Clock>) -> Self {
        let mut builder = RedisServer::builder().append_only().config("busy-reply-threshold", BUSY_AFTER);
        for (name, value) in clock.iter().flat_map(Clock::environment) {
            builder = builder.environment(name, &value);
        }
        let locks = builder.start();
        let proxies = (1..WORKERS).map(|_| Proxy::to(locks.port())).collect();
        Self { locks, stores: RedisServer::start(), proxies, clock }
    }

    /// The connection string of a worker. Half of them find out soon that a server is silent, the others by default.
    pub(super) fn way(&self, worker: usize) -> String {
        let port = self.proxies.get(worker).map_or(self.locks.port(), Proxy::port);
        let options = if worker % 2 == 0 { ",connectTimeout=250,responseTimeout=250" } else { "" };
        format!("127.0.0.1:{port}{options}")
    }

    /// Without a fault on the way.
    pub(super) fn straight(&self) -> String {
        format!("127.0.0.1:{}", self.locks.port())
    }
}
