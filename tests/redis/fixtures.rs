//! Steps that many tests share: making providers and locks, waiting for a condition, random numbers from a seed.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, LockGuard, LockOptions, RedisLockOptions, RedisLockProvider,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::support::RedisServer;

/// For how long a test waits for what has to happen. Only broken promises take that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// A lease that does not end within a test, so that nothing is put right by its end.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// A provider with the default options, at this URL.
pub(crate) fn provider_at(url: &str) -> RedisLockProvider {
    RedisLockProvider::new(RedisLockOptions::default().connection_string(url)).unwrap()
}

/// A lock whose lease is [`LONG`].
pub(crate) fn lock(provider: &RedisLockProvider, name: &str) -> DistributedLock {
    lock_with(provider, name, LockOptions::default().ttl(LONG))
}

pub(crate) fn lock_with(provider: &RedisLockProvider, name: &str, options: LockOptions) -> DistributedLock {
    provider.create_lock(name.try_into().unwrap(), options).unwrap()
}

/// The key of a lock with the default prefix.
pub(crate) fn key_of(name: &str) -> String {
    format!("orchestrix:lock:{name}")
}

/// A lease of this length that is not renewed.
pub(crate) fn lease(ttl: Duration) -> LockOptions {
    LockOptions::default().ttl(ttl).auto_renew(false)
}

/// Acquires a lock that is free, or becomes so soon.
pub(crate) async fn acquired(lock: &DistributedLock) -> LockGuard {
    soon("a lock that is free is granted", lock.acquire()).await.unwrap()
}

/// One attempt, without waiting.
pub(crate) async fn at_once(lock: &DistributedLock) -> Option<LockGuard> {
    soon("one attempt is answered at once", lock.try_acquire(Duration::ZERO)).await.unwrap()
}

/// What comes within [`PATIENCE`].
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: it does not within {PATIENCE:?}"))
}

/// Waits until a condition is true, for [`PATIENCE`] at most. Returns how long it took.
pub(crate) async fn until(what: &str, condition: impl FnMut() -> bool) -> Duration {
    within(PATIENCE, what, condition).await
}

/// Waits until a condition is true, for this long at most. Returns how long it took.
pub(crate) async fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let asked = Instant::now();
    while !condition() {
        assert!(asked.elapsed() < limit, "{what}: it is not so after {limit:?}");
        sleep(Duration::from_millis(1)).await;
    }
    asked.elapsed()
}

/// Holds the lock again and again, for a millisecond each time.
pub(crate) fn hold_often(lock: DistributedLock, grants: &Arc<AtomicU64>, tasks: &mut JoinSet<()>) {
    let grants = Arc::clone(grants);
    tasks.spawn(async move {
        loop {
            let guard = acquired(&lock).await;
            grants.fetch_add(1, SeqCst);
            sleep(Duration::from_millis(1)).await;
            guard.release().await.unwrap();
        }
    });
}

/// Polls a future up to `polls` times, each further time only when something woke it, and for this long at most.
/// The future, unless it has ended, and how often it was polled.
pub(crate) async fn polled<F: Future + ?Sized>(
    mut future: Pin<Box<F>>,
    polls: usize,
    limit: Duration,
) -> (Option<Pin<Box<F>>>, usize) {
    let mut done = 0;
    let ended = timeout(
        limit,
        poll_fn(|cx| {
            if done == polls {
                return Poll::Ready(false);
            }
            done += 1;
            match future.as_mut().poll(cx) {
                Poll::Ready(_) => Poll::Ready(true),
                Poll::Pending if done == polls => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        }),
    )
    .await
    .unwrap_or(false);
    ((!ended).then_some(future), done)
}

impl RedisServer {
    /// Every key but the fences, which outlive their locks on purpose.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        self.keys().into_iter().filter(|key| !key.ends_with("}:f")).collect()
    }

    /// Who waits for a lock in the server's queue.
    pub(crate) fn queue_of(&self, lock: &str) -> Vec<String> {
        self.ask(redis::cmd("LRANGE").arg(format!("{{{lock}}}:q")).arg(0).arg(-1))
    }

    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.ask(redis::cmd("GET").arg(key))
    }

    /// What is left of a key's life, in milliseconds: -1 without an end, -2 without the key.
    pub(crate) fn pttl(&self, key: &str) -> i64 {
        self.ask(redis::cmd("PTTL").arg(key))
    }

    /// The clients over TCP, so not those of the support, by address.
    pub(crate) fn tcp_clients(&self) -> Vec<String> {
        let list: String = self.ask(redis::cmd("CLIENT").arg("LIST"));
        let address = |line: &str| line.split(' ').find_map(|field| field.strip_prefix("addr=")).map(str::to_owned);
        list.lines().filter_map(address).filter(|address| address.starts_with("127.0.0.1:")).collect()
    }
}

/// Random numbers that can be had again: the seed is printed, and `ORCHESTRIX_SEED` gives it.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let given =
            std::env::var("ORCHESTRIX_SEED").ok().map(|seed| seed.parse().expect("ORCHESTRIX_SEED is a number"));
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(()));
        println!("ORCHESTRIX_SEED={seed}");
        Self(seed)
    }

    /// The numbers of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Another row of numbers, for a task of its own.
    pub(crate) fn split(&mut self) -> Self {
        Self(self.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        // A Weyl sequence, and a hash that spreads it over all bits.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ (mixed >> 32)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
