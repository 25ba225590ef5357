//! Very many cycles, cancelled at random: nothing is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::poll;
use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockGuard, LockOptions};
use tokio::runtime::Handle;
use tokio::task::yield_now;

const TASKS: u64 = 16;
const NAMES: u64 = 8;

/// How many cycles, over all tasks: `ORCHESTRIX_SOAK_CYCLES`, or a million where the build is optimised.
fn cycles() -> u64 {
    let default = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
    std::env::var("ORCHESTRIX_SOAK_CYCLES").map_or(default, |given| given.parse().unwrap())
}

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cycles_that_are_cancelled_at_random_leave_nothing() {
    let provider = InMemoryLockProvider::new();
    let tasks_before = Handle::current().metrics().num_alive_tasks();
    let cycles_of_each = cycles().div_ceil(TASKS);
    let inside: Arc<[AtomicU64]> = (0..NAMES).map(|_| AtomicU64::new(0)).collect();
    let began = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (provider, inside) = (provider.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (task + 1));
                for _ in 0..cycles_of_each {
                    cycle(&provider, &inside, &mut dice).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let took = began.elapsed();
    let cycles = cycles_of_each * TASKS;
    println!("{cycles} cycles in {took:?}, {:.0} a second", cycles as f64 / took.as_secs_f64());
    assert!(provider.is_empty(), "{:?}", provider.snapshot());
    // A task that has ended may still be counted for a moment.
    while Handle::current().metrics().num_alive_tasks() > tasks_before {
        assert!(began.elapsed() < took + Duration::from_secs(10), "tasks are left");
        yield_now().await;
    }
}

async fn cycle(provider: &InMemoryLockProvider, inside: &[AtomicU64], dice: &mut Dice) {
    let name = dice.roll(NAMES);
    let options = match dice.roll(4) {
        0 => LockOptions::default().max_waiters(Some(3)),
        1 => LockOptions::default().auto_renew(false),
        _ => LockOptions::default(),
    };
    let lock = provider.create_lock(format!("soak:{name}").try_into().unwrap(), options).unwrap();
    let guard = match dice.roll(4) {
        0 => lock.try_acquire(Duration::ZERO).await.unwrap(),
        1 => lock.try_acquire(Duration::from_micros(dice.roll(500))).await.unwrap_or(None),
        2 => lock.acquire().await.ok(),
        _ => {
            // Cancelled after some polls, of which some find the lock granted.
            let mut acquire = Box::pin(lock.acquire());
            for _ in 0..dice.roll(4) {
                if let std::task::Poll::Ready(answer) = poll!(&mut acquire) {
                    return hold(answer.ok(), &inside[name as usize], dice).await;
                }
                yield_now().await;
            }
            None
        }
    };
    hold(guard, &inside[name as usize], dice).await;
}

async fn hold(guard: Option<LockGuard>, inside: &AtomicU64, dice: &mut Dice) {
    let Some(guard) = guard else { return };
    assert_eq!(inside.fetch_add(1, Relaxed), 0, "two hold one lock");
    if dice.roll(3) == 0 {
        yield_now().await;
    }
    inside.fetch_sub(1, Relaxed);
    match dice.roll(3) {
        0 => drop(guard.release().await),
        1 => drop(guard.lost()),
        _ => drop(guard),
    }
}
