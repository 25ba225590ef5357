//! A `redis-server` process that belongs to one test.

use std::time::{Duration, Instant};

use super::client::Client;
use super::directory::TemporaryDirectory;
use super::supervisor::{Supervisor, process_state};

/// Far longer than a start takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// A running server, on a Unix socket alone. It ends, and its directory is removed, when this is dropped or the test
/// process ends.
#[derive(Debug)]
pub(crate) struct RedisServer {
    // Dropped in this order: the process, then its directory.
    _supervisor: Supervisor,
    directory: TemporaryDirectory,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let directory = TemporaryDirectory::new();
        let at = directory.path().display();
        let conf = format!("port 0\nunixsocket {at}/socket\nunixsocketperm 700\ndir {at}\nsave \"\"\nappendonly no\n");
        std::fs::write(directory.path().join("redis.conf"), conf).unwrap();
        let mut supervisor = Supervisor::new(directory.path(), &[]);
        let process = supervisor.start();
        let server = Self { _supervisor: supervisor, directory };
        let deadline = Instant::now() + LIMIT;
        while Client::connect(&server.socket()).is_err() {
            let log = std::fs::read_to_string(server.directory.path().join("log")).unwrap_or_default();
            assert!(process_state(process).is_some(), "redis-server does not start: {log}");
            assert!(Instant::now() < deadline, "redis-server does not answer in time: {log}");
            std::thread::sleep(Duration::from_millis(1));
        }
        server
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("socket")
    }
}
