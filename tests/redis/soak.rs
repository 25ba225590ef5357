//! Very many cycles on a real server, cancelled at random: no entry, no task, no key and no memory is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockError, LockGuard, LockOptions, RedisLockProvider};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::evidence::evidence;
use crate::fixtures::{LONG, Random, acquired, lease, lock, lock_with, polled, provider_at, soon, until};
use crate::soaking::{asked, has_not_grown, resident};
use crate::support::RedisServer;

/// How many cycles, over all tasks. Without it a few, since every build of the tests runs them.
const VARIABLE: &str = "ORCHESTRIX_REDIS_SOAK_CYCLES";
const TASKS: u64 = 48;
const NAMES: u64 = 12;

/// Of two providers, which count as two processes: half of the hand-overs are messages.
struct Scene {
    providers: [RedisLockProvider; 2],
    inside: Vec<AtomicU64>,
    granted: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cycles_that_are_cancelled_at_random_leave_nothing() {
    let server = RedisServer::start();
    let tasks_without = Handle::current().metrics().num_alive_tasks();
    let scene = Arc::new(Scene {
        providers: [provider_at(&server.url()), provider_at(&server.url())],
        inside: (0..NAMES).map(|_| AtomicU64::new(0)).collect(),
        granted: AtomicU64::new(0),
    });
    for provider in &scene.providers {
        drop(acquired(&lock(provider, "warm-up")).await);
    }
    until("nothing is left of the warm-up", || nothing_left(&server, &scene)).await;
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let half_of_each = asked(VARIABLE).unwrap_or(6_000).div_ceil(2 * TASKS);
    let mut random = Random::new();
    let began = Instant::now();
    run(half_of_each, &scene, &mut random).await;
    let (middle, server_middle) = (resident(), used(&server));
    run(half_of_each, &scene, &mut random).await;
    let (end, took) = (resident(), began.elapsed());
    until("nothing is left of cancelled cycles", || nothing_left(&server, &scene)).await;
    let server_end = used(&server);
    let cycles = 2 * half_of_each * TASKS;
    let granted = scene.granted.load(Relaxed);
    println!("{cycles} cycles, {granted} granted, in {took:?}; {middle:?} KiB in the middle, {end:?} KiB at the end");
    println!("the server: {server_middle} bytes in the middle, {server_end} at the end");
    assert!(granted > cycles / 50 && granted < cycles * 19 / 20, "both happens often: {granted} of {cycles} granted");
    if asked(VARIABLE).is_some() {
        has_not_grown(middle, end);
        has_not_grown(Some(server_middle / 1024), Some(server_end / 1024));
    }
    assert_eq!(server.keys().len(), 1, "the counter of all grants");
    until("the providers' own tasks are left", || Handle::current().metrics().num_alive_tasks() <= tasks_before).await;
    for provider in &scene.providers {
        soon("a provider that is not used closes", provider.close()).await;
    }
    drop(scene);
    until("closed, they have none", || Handle::current().metrics().num_alive_tasks() <= tasks_without).await;
    evidence(
        "soak_redis",
        &json!({
            "cycles": cycles, "granted": granted, "seconds": took.as_secs(), "kib_in_the_middle": middle,
            "kib_at_the_end": end, "keys_left_but_fences": server.leftovers().len(),
        }),
    );
}

fn nothing_left(server: &RedisServer, scene: &Scene) -> bool {
    scene.providers.iter().all(RedisLockProvider::is_empty) && server.leftovers().is_empty()
}

/// What the server's data and its clients take, in bytes.
fn used(server: &RedisServer) -> u64 {
    let info: String = server.ask(redis::cmd("INFO").arg("memory"));
    info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse().unwrap()
}

async fn run(cycles: u64, scene: &Arc<Scene>, random: &mut Random) {
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (scene, mut random) = (Arc::clone(scene), random.split());
            tokio::spawn(async move {
                for _ in 0..cycles {
                    cycle(&scene, &mut random).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn cycle(scene: &Scene, random: &mut Random) {
    let name = random.below(NAMES);
    let options = match random.below(4) {
        0 => LockOptions::default().ttl(LONG).max_waiters(Some(3)),
        1 => lease(LONG),
        _ => LockOptions::default().ttl(LONG),
    };
    let provider = &scene.providers[usize::from(random.below(2) == 0)];
    let lock = lock_with(provider, &format!("soak:{name}"), options);
    let soon_enough = Duration::from_micros(random.below(4_000));
    let answer = match random.below(4) {
        0 => lock.try_acquire(Duration::ZERO).await,
        1 => lock.try_acquire(soon_enough).await,
        // Given up after a while.
        2 => tokio::time::timeout(soon_enough, lock.acquire()).await.map_or(Ok(None), |answer| answer.map(Some)),
        // Given up after some polls, of which some find the lock granted.
        _ => {
            let polls = usize::try_from(random.below(4)).unwrap();
            drop(polled(Box::pin(lock.acquire()), polls, soon_enough).await);
            return;
        }
    };
    match answer {
        Ok(Some(guard)) => hold(scene, name, guard, random).await,
        // Unavailable: its time was up before the server had answered.
        Ok(None) | Err(LockError::TooManyWaiters | LockError::Unavailable { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn hold(scene: &Scene, name: u64, guard: LockGuard, random: &mut Random) {
    scene.granted.fetch_add(1, Relaxed);
    let inside = &scene.inside[usize::try_from(name).unwrap()];
    assert_eq!(inside.fetch_add(1, Relaxed), 0, "two hold one lock");
    if random.below(3) == 0 {
        yield_now().await;
    }
    inside.fetch_sub(1, Relaxed);
    match random.below(4) {
        0 => drop(guard.release().await),
        1 => drop(polled(Box::pin(guard.extend(LONG)), 1, Duration::from_millis(1)).await),
        2 => drop(polled(Box::pin(guard.release()), 1, Duration::from_millis(1)).await),
        _ => drop(guard),
    }
}
