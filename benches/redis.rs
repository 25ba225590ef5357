//! What locks on Redis cost: the uncontended cycle, tasks on keys of their own, and a key that all tasks want.
//!
//! `cargo bench --bench redis --features redis`. Starts a `redis-server` of its own on a loopback port. Times are per
//! cycle of acquire and release, zero hold. How this compares with other crates and with the raw limit:
//! `benches/peers`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/support/redis/mod.rs"]
mod support;

use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, LockOptions, RedisLockOptions, RedisLockProvider, Resource,
};
use support::RedisServer;
use tokio::runtime::{Builder, Runtime};

/// Long enough that starting and stopping the tasks is nothing beside it.
const CYCLES: usize = 4_096;

static SERVER: OnceLock<RedisServer> = OnceLock::new();

fn main() {
    SERVER.get_or_init(RedisServer::start);
    divan::main();
    // A static is not dropped.
    SERVER.get().unwrap().kill();
}

/// One worker thread; the server has the other core of a small machine.
fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn provider() -> RedisLockProvider {
    let url = SERVER.get().unwrap().url();
    RedisLockProvider::new(RedisLockOptions::default().connection_string(url)).unwrap()
}

fn lock(provider: &RedisLockProvider, name: &str) -> DistributedLock {
    provider.create_lock(Resource::try_from(name).unwrap(), LockOptions::default()).unwrap()
}

async fn cycles(lock: DistributedLock, count: usize) {
    for _ in 0..count {
        lock.acquire().await.unwrap().release().await.unwrap();
    }
}

/// One item is one cycle; each of the locks is a task's own handle.
fn together(bencher: Bencher<'_, '_>, locks: &[DistributedLock]) {
    let runtime = runtime();
    // Connects, and loads the scripts.
    for lock in locks {
        runtime.block_on(cycles(lock.clone(), 1));
    }
    let each = CYCLES / locks.len();
    bencher.counter(ItemsCount::new(each * locks.len())).bench_local(|| {
        runtime.block_on(async {
            let tasks: Vec<_> = locks.iter().map(|lock| tokio::spawn(cycles(lock.clone(), each))).collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
}

/// Two round trips.
#[divan::bench]
fn uncontended(bencher: Bencher<'_, '_>) {
    let lock = lock(&provider(), "uncontended");
    let runtime = runtime();
    runtime.block_on(cycles(lock.clone(), 1));
    bencher.bench_local(|| runtime.block_on(cycles(lock.clone(), 1)));
}

/// Tasks on keys of their own share one connection.
#[divan::bench(args = [1, 8, 64], sample_count = 20)]
fn own_keys(bencher: Bencher<'_, '_>, tasks: usize) {
    let provider = provider();
    let locks: Vec<_> = (0..tasks).map(|task| lock(&provider, &format!("own:{task}"))).collect();
    together(bencher, &locks);
}

/// Tasks of one process on one key: most hand-overs stay inside it.
#[divan::bench(args = [2, 64, 512], sample_count = 20)]
fn hot_key(bencher: Bencher<'_, '_>, tasks: usize) {
    let lock = lock(&provider(), "hot");
    together(bencher, &vec![lock; tasks]);
}

/// Providers with a connection each, as so many processes have, on one key: every hand-over is the server's.
#[divan::bench(args = [2, 16], sample_count = 20)]
fn hot_key_between_providers(bencher: Bencher<'_, '_>, providers: usize) {
    let locks: Vec<_> = (0..providers).map(|_| lock(&provider(), "between")).collect();
    together(bencher, &locks);
}
