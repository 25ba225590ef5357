//! The servers of a run, and the ways to them.

use std::io;
use std::path::Path;

use redis::cmd;

use super::clock::Clock;
use super::plan::WORKERS;
use super::topology::{Locks, Topology};
use crate::support::{Proxy, RedisCluster, RedisServer, SentinelSet};

/// Milliseconds after which a server says that it is busy.
const BUSY_AFTER: &str = "100";

/// What lives on from round to round.
#[derive(Debug)]
pub(crate) struct World {
    /// Under faults.
    pub(crate) locks: Locks,
    /// Never under faults.
    pub(crate) stores: RedisServer,
    /// The ways of all workers but the last. None to several servers: clients are told where those are.
    pub(super) proxies: Vec<Proxy>,
    /// Where it can be moved.
    pub(super) clock: Option<Clock>,
}

impl World {
    /// Its server forgets now and then; its clock is right.
    pub(crate) fn steady() -> Self {
        Self::with(None)
    }

    /// Its server's clock is too fast, and moved now and then; it never forgets. `directory` is for what that needs.
    ///
    /// # Errors
    /// If there is no C compiler.
    pub(crate) fn moving(directory: &Path) -> io::Result<Self> {
        Ok(Self::with(Some(Clock::new(directory)?)))
    }

    /// Its servers have the right clock, and a single one forgets now and then.
    pub(crate) fn of(topology: Topology) -> Self {
        let locks = match topology {
            Topology::Single => return Self::steady(),
            Topology::Sentinel => Locks::Sentinel(Box::new(SentinelSet::builder().append_only().start())),
            Topology::Cluster => Locks::Cluster(Box::new(RedisCluster::builder().append_only().start())),
        };
        Self { locks, stores: RedisServer::start(), proxies: Vec::new(), clock: None }
    }

    fn with(clock: Option<Clock>) -> Self {
        let mut builder = RedisServer::builder().append_only().config("busy-reply-threshold", BUSY_AFTER);
        for (name, value) in clock.iter().flat_map(Clock::environment) {
            builder = builder.environment(name, &value);
        }
        let locks = builder.start();
        let proxies = (1..WORKERS).map(|_| Proxy::to(locks.port())).collect();
        Self { locks: Locks::Single(Box::new(locks)), stores: RedisServer::start(), proxies, clock }
    }

    /// The connection string of a worker. Half of them find out soon that a server is silent, the others by default.
    pub(super) fn way(&self, worker: usize) -> String {
        let Locks::Single(server) = &self.locks else { return self.straight() };
        let port = self.proxies.get(worker).map_or(server.port(), Proxy::port);
        let options = if worker.is_multiple_of(2) { ",connectTimeout=250,responseTimeout=250" } else { "" };
        format!("127.0.0.1:{port}{options}")
    }

    /// Microseconds since 1970, by the clock of a server for locks.
    pub(super) fn wall(&self) -> u64 {
        let time = |node: &RedisServer| node.ask::<(u64, u64)>(&cmd("TIME"));
        let (seconds, rest) = self.locks.nodes().first().map(time).unwrap_or_default();
        seconds * 1_000_000 + rest
    }

    /// Without a fault on the way.
    pub(super) fn straight(&self) -> String {
        self.locks.connection_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::SystemTime;

    use redis::cmd;

    use super::World;
    use crate::nemesis::plan::Planned;
    use crate::nemesis::{KINDS, Kind, server_faults, way_faults};
    use crate::support::{RedisServer, TemporaryDirectory};

    fn server(world: &World) -> &RedisServer {
        &world.locks.nodes()[0]
    }

    /// Seconds that the server is ahead.
    fn ahead(world: &World) -> f64 {
        let (seconds, _): (u64, u64) = server(world).ask(&cmd("TIME"));
        seconds as f64 - SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
    }

    /// It runs too fast, and is moved both ways; and a lease ends by the moved clock.
    #[test]
    fn the_clock_of_a_server_is_moved() {
        let directory = TemporaryDirectory::new();
        let world = World::moving(directory.path()).unwrap();
        let set = |milliseconds| world.clock.as_ref().unwrap().set(milliseconds).unwrap();
        assert!(ahead(&world).abs() < 3.0);
        let (before, begun) = (world.wall(), std::time::Instant::now());
        std::thread::sleep(std::time::Duration::from_millis(500));
        let faster = (world.wall() - before) as f64 / begun.elapsed().as_micros() as f64;
        assert!((1.005..1.01).contains(&faster), "{faster}");
        server(&world).ask::<()>(cmd("SET").arg("key").arg(1).arg("PX").arg(60_000));
        set(100_500);
        assert!((ahead(&world) - 100.5).abs() < 3.0);
        assert_eq!(server(&world).ask::<u64>(cmd("EXISTS").arg("key")), 0);
        set(-100_500);
        assert!((ahead(&world) + 100.5).abs() < 3.0);
        set(0);
        assert!(ahead(&world).abs() < 3.0);
    }

    /// After each kind of fault the server takes writes again, over each proxy too, and has what it had, but for one.
    #[test]
    fn every_fault_of_a_server_or_a_way_is_healed() {
        let directory = TemporaryDirectory::new();
        let world = World::moving(directory.path()).unwrap();
        for kind in KINDS {
            let fault = Planned { kind, begin: 0, length: 120, worker: None, parameter: 300 };
            server(&world).ask::<()>(cmd("SET").arg("kept").arg("1"));
            let proxy = world.proxies.first().unwrap();
            server_faults::begin(&fault, &world).unwrap();
            way_faults::begin(kind, fault.parameter, proxy);
            server_faults::end(&fault, &world).unwrap();
            way_faults::end(kind, proxy);
            let kept = server(&world).ask::<u64>(cmd("EXISTS").arg("kept")) == 1;
            assert_eq!(kept, kind != Kind::ServerEmptied, "{kind:?}");
            for url in [server(&world).url(), proxy.url()] {
                let mut client = redis::Client::open(url).unwrap().get_connection().unwrap();
                cmd("SET").arg("again").arg(1).exec(&mut client).unwrap();
            }
        }
    }
}
