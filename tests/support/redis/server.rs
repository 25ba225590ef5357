//! A `redis-server` process that belongs to one test.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::builder::RedisServerBuilder;
use super::directory::TemporaryDirectory;
use super::port::bind_free_port;
use super::supervisor::{Supervisor, process_state};

/// Far longer than a start, a stop or an answer takes on a busy machine.
pub(super) const LIMIT: Duration = Duration::from_secs(20);

/// A running server. It is killed, and its directory removed, when this is dropped or the test process ends.
#[derive(Debug)]
pub(crate) struct RedisServer {
    pub(super) settings: RedisServerBuilder,
    port: u16,
    pid: AtomicU32,
    // Dropped in this order: the process, then its directory.
    supervisor: Mutex<Supervisor>,
    directory: TemporaryDirectory,
}

impl RedisServer {
    /// A server with nothing special: no persistence, no password, no limits.
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    pub(crate) fn builder() -> RedisServerBuilder {
        RedisServerBuilder::default()
    }

    pub(super) fn start_with(settings: RedisServerBuilder) -> Self {
        let directory = TemporaryDirectory::new();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        if settings.cluster {
            std::fs::write(data.join("nodes.conf"), super::cluster::nodes_conf()).unwrap();
        }
        let supervisor = Supervisor::new(directory.path(), &settings.environment);
        let mut server =
            Self { settings, port: 0, pid: AtomicU32::new(0), supervisor: Mutex::new(supervisor), directory };
        loop {
            server.port = bind_free_port().local_addr().unwrap().port();
            let path = server.directory.path().display().to_string();
            let conf = server.settings.redis_conf(&path, server.port);
            std::fs::write(server.directory.path().join("redis.conf"), conf).unwrap();
            if server.launch() {
                return server;
            }
            // Another program has taken the port since.
        }
    }

    /// Where clients reach it.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// For the default user, with its password: `redis://…`, or `rediss://…` with TLS.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}127.0.0.1:{}", self.settings.scheme(), self.settings.credentials(), self.port)
    }

    /// As [`url`](Self::url), for a user from [`user_acl`](RedisServerBuilder::user_acl).
    pub(crate) fn url_as(&self, user: &str, password: &str) -> String {
        format!("{}://{user}:{password}@127.0.0.1:{}", self.settings.scheme(), self.port)
    }

    /// Every server listens on a Unix socket too.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// `unix:///…`, for the default user without a password.
    pub(crate) fn socket_url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The process number, of the last start if it is not running.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Ends it as a crash does (SIGKILL). Returns when it is gone: from then on connections are refused.
    pub(crate) fn kill(&self) {
        self.supervisor().kill();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port; returns when it answers. It has its data if it is
    /// [`append_only`](RedisServerBuilder::append_only).
    pub(crate) fn start_again(&self) {
        let deadline = Instant::now() + LIMIT;
        while !self.launch() {
            assert!(Instant::now() < deadline, "port {} stays in use: {}", self.port, self.log());
        }
    }

    /// Removes what is on disk. Only while it is not running.
    pub(crate) fn forget_data(&self) {
        assert!(self.ended(), "the server is running: its data is in memory");
        let data = self.directory.path().join("data");
        std::fs::remove_dir_all(&data).and_then(|()| std::fs::create_dir(&data)).unwrap();
    }

    /// Freezes it (SIGSTOP): the kernel still takes connections and bytes for it, and nothing is answered.
    pub(crate) fn stop(&self) {
        self.supervisor().stop();
        let deadline = Instant::now() + LIMIT;
        // A command in progress is still completed; after this, none is.
        while process_state(self.pid()) != Some('T') {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it go on (SIGCONT) after [`stop`](Self::stop).
    pub(crate) fn resume(&self) {
        self.supervisor().resume();
    }

    /// What it wrote since its last start.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Starts the process and waits until it answers. False if the port is in use.
    fn launch(&self) -> bool {
        // Otherwise the socket of a killed server could be taken for this one's.
        _ = std::fs::remove_file(self.socket());
        let mut supervisor = self.supervisor();
        let pid = if self.settings.sentinel { supervisor.start_sentinel() } else { supervisor.start() };
        drop(supervisor);
        self.pid.store(pid, Ordering::Relaxed);
        let deadline = Instant::now() + LIMIT;
        loop {
            // Over its own socket: at its port another server could be answering.
            if self.answers() {
                return true;
            }
            if self.ended() || self.log().contains("already in use") {
                self.supervisor().kill();
                let log = self.log();
                assert!(log.contains("already in use"), "redis-server does not start: {log}");
                return false;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer in time: {}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Neither ended nor stopped.
    pub(crate) fn is_running(&self) -> bool {
        process_state(self.pid()).is_some_and(|state| state != 'T')
    }

    fn ended(&self) -> bool {
        process_state(self.pid()).is_none()
    }

    fn supervisor(&self) -> std::sync::MutexGuard<'_, Supervisor> {
        // A test that panicked elsewhere still has its server ended.
        self.supervisor.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
