//! What the tests share: sets that fail over fast, providers, and the node that a provider is connected to.

use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLock, FencingToken, LockError, LockGuard, RedisLockOptions, RedisLockProvider};
use redis::cmd;
use tokio::task::JoinHandle;

use crate::fixtures::{acquired, lock, provider_at, until};
use crate::support::{RedisServer, SentinelSet, SentinelSetBuilder};

/// More than a failover takes on a busy machine, for callers that wait through one.
pub(crate) const TIME: Duration = Duration::from_secs(20);

/// A primary that is gone is missed after half a second.
pub(crate) fn fast() -> SentinelSetBuilder {
    SentinelSet::builder().down_after(Duration::from_millis(500))
}

pub(crate) fn options(url: &str) -> RedisLockOptions {
    RedisLockOptions::default().connection_string(url)
}

pub(crate) fn provider_with(options: RedisLockOptions) -> RedisLockProvider {
    RedisLockProvider::new(options).unwrap()
}

/// The addresses of these ports, as a connection string lists them.
pub(crate) fn hosts(ports: &[u16]) -> String {
    ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// Makes the connection.
pub(crate) async fn warm(provider: &RedisLockProvider) {
    acquired(&lock(provider, "warm")).await.release().await.unwrap();
}

/// That something took less than this. A busy machine may take longer, by as much as it takes longer than a few milliseconds
/// to make a connection to a server that works.
#[track_caller]
pub(crate) fn took_less(took: Duration, limit: Duration) -> impl Future<Output = ()> {
    /// As often as that goes into half a second on a machine that has nothing else to do.
    const IN_HALF_A_SECOND: u32 = 40;
    let caller = std::panic::Location::caller();
    async move {
        if took < limit {
            return;
        }
        let server = RedisServer::start();
        let began = Instant::now();
        warm(&provider_at(&server.url())).await;
        let usual = began.elapsed();
        let busy = (usual * IN_HALF_A_SECOND).saturating_sub(Duration::from_millis(500));
        assert!(took < limit + busy, "{caller}: {took:?}, and a server that works is connected in {usual:?}");
    }
}

/// How many providers are connected to this server.
pub(crate) fn connected(server: &RedisServer) -> usize {
    let clients: String = server.ask(cmd("CLIENT").arg("LIST"));
    clients.lines().filter(|line| line.contains(" name=orchestrix-locking:")).count()
}

/// Waits until so many providers are connected to this server.
pub(crate) async fn until_connected(server: &RedisServer, count: usize) {
    until("the providers are connected to that server", || connected(server) == count).await;
}

/// Waits until the replicas have what was written so far.
pub(crate) fn replicated(set: &SentinelSet) {
    let (_, primary) = set.primary();
    let written = offset(primary, "master_repl_offset");
    let deadline = Instant::now() + TIME;
    for node in set.nodes().iter().filter(|node| node.port() != primary.port() && node.is_running()) {
        while offset(node, "slave_repl_offset") < written {
            assert!(Instant::now() < deadline, "a replica lags behind");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn offset(server: &RedisServer, field: &str) -> u64 {
    server.replication(field).and_then(|offset| offset.parse().ok()).unwrap_or(0)
}

/// Whether a server has the key of this lock.
pub(crate) fn has(server: &RedisServer, name: &str) -> bool {
    server.get(&crate::fixtures::key_of(name)).is_some()
}

/// What a caller that waited in the background got, and when.
pub(crate) type Served = JoinHandle<(FencingToken, Instant)>;

/// Acquires in the background, notes when it was granted, and releases.
pub(crate) fn serve(lock: DistributedLock) -> Served {
    tokio::spawn(async move {
        let guard = lock.try_acquire(TIME).await.unwrap().expect("there is time enough");
        let served = (guard.fencing_token(), Instant::now());
        guard.release().await.unwrap();
        served
    })
}

/// All of them, in the order of their grants.
pub(crate) async fn all_served(tasks: Vec<Served>) -> Vec<(FencingToken, Instant)> {
    let mut served = Vec::new();
    for task in tasks {
        served.push(crate::fixtures::soon("each caller is served", task).await.unwrap());
    }
    served.sort_by_key(|(_, at)| *at);
    served
}

/// Guards of so many names: `prefix 0`, `prefix 1`, …
pub(crate) async fn held(provider: &RedisLockProvider, prefix: &str, count: usize) -> Vec<LockGuard> {
    let mut guards = Vec::new();
    for number in 0..count {
        guards.push(acquired(&lock(provider, &format!("{prefix} {number}"))).await);
    }
    guards
}

/// The text of an error of this kind.
#[track_caller]
pub(crate) fn unavailable<T: std::fmt::Debug>(answer: Result<T, LockError>) -> String {
    let error = answer.expect_err("no server can be used");
    assert!(matches!(error, LockError::Unavailable { .. }), "{error:?}");
    error.to_string()
}

/// The text of an error of this kind.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, LockError>) -> String {
    let error = answer.expect_err("the server refuses");
    assert!(matches!(error, LockError::Backend { .. }), "{error:?}");
    error.to_string()
}

/// How often a test fails a set over: once for the test alone, and `ORCHESTRIX_FAILOVERS` times in a long run.
pub(crate) fn rounds(few: usize) -> usize {
    std::env::var("ORCHESTRIX_FAILOVERS").map_or(few, |rounds| rounds.parse::<usize>().expect("a number").max(1))
}

/// Times from a promotion until something was so.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn print(mut self, what: &str) {
        self.0.sort();
        if let (Some(min), Some(max)) = (self.0.first(), self.0.last()) {
            println!("{what}: min {min:?}, median {:?}, max {max:?} of {}", self.0[self.0.len() / 2], self.0.len());
        }
    }
}
