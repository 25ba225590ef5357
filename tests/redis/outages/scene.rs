//! [`Scene`]: a server, a way to it that can fail, and what the tests look at.

use std::time::{Duration, Instant};

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, LockError, LockGuard, LockOptions, RedisLockOptions, RedisLockProvider,
    Resource,
};
use redis::cmd;
use tokio::task::JoinHandle;

use crate::support::{Proxy, RedisServer};

/// Longer than anything here takes, so that a test that would hang fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// For what takes some milliseconds, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(4);

/// The name that most tests lock, and its keys.
pub(crate) const NAME: &str = "order:42";
pub(crate) const KEY: &str = "orchestrix:lock:order:42";
pub(crate) const QUEUE: &str = "{orchestrix:lock:order:42}:q";
pub(crate) const FENCE: &str = "orchestrix:lock:{}:f";

/// What an acquire in the background came to, and when.
pub(crate) type Outcome = (Result<Option<LockGuard>, LockError>, Instant);

/// A server, a proxy to it, and a provider that takes the proxy.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) provider: RedisLockProvider,
    pub(crate) proxy: Proxy,
    pub(crate) server: RedisServer,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::on(RedisServer::start())
    }

    pub(crate) fn on(server: RedisServer) -> Self {
        Self::with(server, |options| options)
    }

    pub(crate) fn with(server: RedisServer, options: impl FnOnce(RedisLockOptions) -> RedisLockOptions) -> Self {
        let proxy = Proxy::to(server.port());
        let options = options(RedisLockOptions::default().connection_string(proxy.url()));
        Self { provider: RedisLockProvider::new(options).unwrap(), proxy, server }
    }

    /// The usual lock, of this length.
    pub(crate) fn lock(&self, ttl: Duration) -> DistributedLock {
        lock(&self.provider, NAME, ttl)
    }

    /// Makes the connection, so that a test begins with one.
    pub(crate) async fn warm(&self) {
        let warm = lock(&self.provider, "warm", LIMIT);
        warm.try_acquire(LIMIT).await.unwrap().unwrap().release().await.unwrap();
    }

    /// Nothing is left of any lock, in the process and on the server, within this time.
    pub(crate) async fn until_clean(&self, within: Duration) {
        until_clean(&self.server, &self.provider, within).await;
    }

    /// A lock can be had, now and without a wait that is worth mentioning, and leaves nothing.
    pub(crate) async fn works(&self) {
        let guard = self.lock(LIMIT).try_acquire(SOON).await.unwrap().expect("the lock is free");
        assert!(guard.is_held());
        guard.release().await.unwrap();
        self.until_clean(SOON).await;
    }
}

/// A provider that goes straight to a server.
pub(crate) fn provider_at(url: impl Into<String>) -> RedisLockProvider {
    RedisLockProvider::new(RedisLockOptions::default().connection_string(url)).unwrap()
}

/// The same, for tests of what a busy machine does not change: it waits for a reply as long as a test may take.
pub(crate) fn patient_provider_at(url: impl Into<String>) -> RedisLockProvider {
    RedisLockProvider::new(patient(RedisLockOptions::default().connection_string(url))).unwrap()
}

/// A reply may come as late as the end of a test.
pub(crate) fn patient(options: RedisLockOptions) -> RedisLockOptions {
    options.response_timeout(LIMIT)
}

pub(crate) fn lock(provider: &RedisLockProvider, name: &str, ttl: Duration) -> DistributedLock {
    provider.create_lock(name.try_into().unwrap(), LockOptions::default().ttl(ttl)).unwrap()
}

pub(crate) fn resource(name: &str) -> Resource {
    name.try_into().unwrap()
}

/// Begins to wait in a task of its own.
pub(crate) fn wait_for(lock: &DistributedLock, time: Duration) -> JoinHandle<Outcome> {
    let lock = lock.clone();
    tokio::spawn(async move {
        let answer = lock.try_acquire(time).await;
        (answer, Instant::now())
    })
}

/// What a task came to; it has to come to an end.
pub(crate) async fn ended<T>(task: JoinHandle<T>) -> T {
    tokio::time::timeout(LIMIT, task).await.expect("it ends").unwrap()
}

/// A guard that was waited for.
pub(crate) async fn granted(task: JoinHandle<Outcome>) -> LockGuard {
    ended(task).await.0.unwrap().expect("granted in time")
}

/// A guard, as soon as the server is back; the lock has to be free.
pub(crate) async fn until_granted(lock: &DistributedLock) -> LockGuard {
    let deadline = Instant::now() + SOON;
    loop {
        match lock.try_acquire(SOON).await {
            Ok(guard) => return guard.expect("the lock is free"),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The lock can be had and released, as soon as the server is back.
pub(crate) async fn until_it_works(lock: &DistributedLock) {
    until_granted(lock).await.release().await.unwrap();
}

/// Waits until something is so, looked at again and again.
#[track_caller]
pub(crate) fn until(what: &'static str, within: Duration, mut is_so: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + within;
        while !is_so() {
            assert!(Instant::now() < deadline, "not within {within:?}: {what}, {caller}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Waits until so many callers of a process wait, and until the server has its place in the queue.
pub(crate) async fn until_waiting(server: &RedisServer, provider: &RedisLockProvider, count: usize) {
    let name = resource(NAME);
    until("all of them wait", LIMIT, || provider.waiters(&name) == count).await;
    until("the server knows", LIMIT, || server.ask::<usize>(cmd("LLEN").arg(QUEUE)) > 0).await;
}

/// Waits until the server's queue is empty.
pub(crate) async fn until_nobody_waits(server: &RedisServer) {
    until("nobody waits", LIMIT, || server.ask::<usize>(cmd("LLEN").arg(QUEUE)) == 0).await;
}

/// Every key but the fences, which outlive their locks on purpose.
pub(crate) fn keys(server: &RedisServer) -> Vec<String> {
    server.keys().into_iter().filter(|key| !key.ends_with("}:f")).collect()
}

pub(crate) async fn until_clean(server: &RedisServer, provider: &RedisLockProvider, within: Duration) {
    let deadline = Instant::now() + within;
    loop {
        let (known, keys) = (provider.len(), keys(server));
        if known == 0 && keys.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left after {within:?}: {known} in the process, {keys:?} on the server");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An error of an unreachable server, as a text.
#[track_caller]
pub(crate) fn unavailable<T: std::fmt::Debug>(answer: Result<T, LockError>) -> String {
    let error = answer.expect_err("the server is out of reach");
    assert!(matches!(error, LockError::Unavailable { .. }), "{error:?}");
    error.to_string()
}

/// An error that the server answered, as a text; it names this.
#[track_caller]
pub(crate) fn backend<T: std::fmt::Debug>(answer: Result<T, LockError>, code: &str) -> String {
    let error = answer.expect_err("the server refuses");
    assert!(matches!(error, LockError::Backend { .. }), "{error:?}");
    let text = error.to_string();
    // Some codes are written out by the client that we use: "ReadOnly: …".
    assert!(text.to_lowercase().contains(&code.to_lowercase()), "{code}: {text}");
    text
}
