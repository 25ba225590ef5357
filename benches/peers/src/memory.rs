//! Locks in memory: nanoseconds a cycle of acquire and release.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use keyed_lock::r#async::KeyedLock;
use lockable::LockPool;
use orchestrix_locking::{DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockOptions, Resource};
use tokio::runtime::Builder;
use tokio::task::yield_now;

use crate::Result;

pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    threads: usize,
    tasks: usize,
    keys: usize,
}

const fn scene(name: &'static str, title: &'static str, threads: usize, tasks: usize, keys: usize) -> Scene {
    Scene { name, title, threads, tasks, keys }
}

pub(crate) const SCENES: [Scene; 4] = [
    scene("memory-one-task", "one task", 1, 1, 1),
    scene("memory-many-keys", "64 tasks, 10 000 keys", 2, 64, 10_000),
    scene("memory-one-key", "64 tasks, one key", 2, 64, 1),
    scene("memory-two-threads", "two threads, a key each", 2, 2, 2),
];

/// What is measured: cycles on keys by their number. It is made anew for each round.
trait Locks: Send + Sync + 'static {
    fn new(names: &[String]) -> Self;
    fn cycle(&self, key: usize) -> impl Future<Output = ()> + Send;
}

/// Our locks, made once and kept.
struct Kept(Vec<DistributedLock>);

impl Locks for Kept {
    fn new(names: &[String]) -> Self {
        let provider = InMemoryLockProvider::new();
        Self(names.iter().filter_map(|name| by_name(&provider, name)).collect())
    }

    async fn cycle(&self, key: usize) {
        if let Some(lock) = self.0.get(key) {
            drop(lock.acquire().await);
        }
    }
}

/// Our locks, made of the name in each cycle.
struct ByName(InMemoryLockProvider, Vec<String>);

fn by_name(provider: &InMemoryLockProvider, name: &str) -> Option<DistributedLock> {
    provider.create_lock(Resource::try_from(name).ok()?, LockOptions::default()).ok()
}

impl Locks for ByName {
    fn new(names: &[String]) -> Self {
        Self(InMemoryLockProvider::new(), names.to_vec())
    }

    async fn cycle(&self, key: usize) {
        if let Some(lock) = self.1.get(key).and_then(|name| by_name(&self.0, name)) {
            drop(lock.acquire().await);
        }
    }
}

/// The map that people write by hand. An entry is never removed.
struct HandMade(DashMap<String, Arc<tokio::sync::Mutex<()>>>, Vec<String>);

impl Locks for HandMade {
    fn new(names: &[String]) -> Self {
        Self(DashMap::new(), names.to_vec())
    }

    async fn cycle(&self, key: usize) {
        let Some(name) = self.1.get(key) else { return };
        let found = self.0.get(name.as_str()).map(|mutex| Arc::clone(&mutex));
        let mutex = found.unwrap_or_else(|| Arc::clone(&self.0.entry(name.clone()).or_default()));
        drop(mutex.lock_owned().await);
    }
}

struct Lockable(LockPool<String>, Vec<String>);

impl Locks for Lockable {
    fn new(names: &[String]) -> Self {
        Self(LockPool::new(), names.to_vec())
    }

    async fn cycle(&self, key: usize) {
        if let Some(name) = self.1.get(key) {
            drop(self.0.async_lock(name.clone()).await);
        }
    }
}

struct Keyed(KeyedLock<String>, Vec<String>);

impl Locks for Keyed {
    fn new(names: &[String]) -> Self {
        Self(KeyedLock::new(), names.to_vec())
    }

    async fn cycle(&self, key: usize) {
        if let Some(name) = self.1.get(key) {
            drop(self.0.lock(name.clone()).await);
        }
    }
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) round: fn(&Scene, Duration) -> Result<f64>,
}

pub(crate) const OURS: &str = "orchestrix-locking";
pub(crate) const HAND_MADE: &str = "hand-made map, never freed";

pub(crate) const CONTENDERS: [Contender; 5] = [
    Contender { name: OURS, round: round::<Kept> },
    Contender { name: "orchestrix-locking, by name", round: round::<ByName> },
    Contender { name: HAND_MADE, round: round::<HandMade> },
    Contender { name: "lockable", round: round::<Lockable> },
    Contender { name: "keyed-lock", round: round::<Keyed> },
];

/// Cycles between looks at the flag that ends the round, and turns given to other tasks, for all alike.
const STRETCH: usize = 64;

fn round<L: Locks>(scene: &Scene, time: Duration) -> Result<f64> {
    let names: Vec<_> = (0..scene.keys).map(|key| format!("account:{key}")).collect();
    let locks = Arc::new(L::new(&names));
    let ended = Arc::new(AtomicBool::new(false));
    let cycles = |task: usize, keys: usize| {
        let (locks, ended) = (Arc::clone(&locks), Arc::clone(&ended));
        async move {
            let mut key = task * 157;
            let mut count = 0;
            while !ended.load(Relaxed) {
                for _ in 0..STRETCH {
                    key = (key + 7) % keys;
                    locks.cycle(key).await;
                }
                count += STRETCH;
                yield_now().await;
            }
            count
        }
    };
    let begun = Instant::now();
    let mut sum = 0;
    if scene.tasks == scene.threads {
        // A runtime each, so that they surely run side by side.
        let threads: Vec<_> = (0..scene.threads)
            .map(|task| {
                let (locks, ended) = (Arc::clone(&locks), Arc::clone(&ended));
                thread::spawn(move || -> Result<usize> {
                    let runtime = Builder::new_current_thread().enable_all().build()?;
                    // In a task, as what serves requests: outside of one the runtime is found in a slower way.
                    let counted = runtime.spawn(async move {
                        let mut count = 0;
                        while !ended.load(Relaxed) {
                            for _ in 0..STRETCH {
                                locks.cycle(task).await;
                            }
                            count += STRETCH;
                            yield_now().await;
                        }
                        count
                    });
                    Ok(runtime.block_on(counted)?)
                })
            })
            .collect();
        thread::sleep(time);
        ended.store(true, Relaxed);
        for thread in threads {
            sum += thread.join().map_err(|_| "a thread panicked")??;
        }
    } else {
        let runtime = Builder::new_multi_thread().worker_threads(scene.threads).enable_all().build()?;
        let tasks: Vec<_> = (0..scene.tasks).map(|task| runtime.spawn(cycles(task, scene.keys))).collect();
        thread::sleep(time);
        ended.store(true, Relaxed);
        for task in tasks {
            sum += runtime.block_on(task)?;
        }
    }
    Ok(begun.elapsed().as_nanos() as f64 / sum as f64)
}
