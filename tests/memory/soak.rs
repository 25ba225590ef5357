//! Very many cycles, cancelled at random: no entry, no task, and no memory is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::poll;
use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockGuard, LockOptions};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::evidence::evidence;
use crate::soaking::{asked, has_not_grown, resident};

const TASKS: u64 = 16;
const NAMES: u64 = 8;

/// How many cycles, over all tasks.
const VARIABLE: &str = "ORCHESTRIX_SOAK_CYCLES";

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
    let default = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
    let half_of_each = asked(VARIABLE).unwrap_or(default).div_ceil(2 * TASKS);
    let inside: Arc<[AtomicU64]> = (0..NAMES).map(|_| AtomicU64::new(0)).collect();
    let began = Instant::now();
    run(0, half_of_each, &provider, &inside).await;
    let middle = resident();
    run(TASKS, half_of_each, &provider, &inside).await;
    let end = resident();
    let took = began.elapsed();
    let cycles = 2 * half_of_each * TASKS;
    println!("{cycles} cycles in {took:?}, {:.0} a second", cycles as f64 / took.as_secs_f64());
    println!("{middle:?} KiB in the middle, {end:?} KiB at the end");
    // Where it was not asked for by name, other tests may run in the same process.
    if asked(VARIABLE).is_some() {
        has_not_grown(middle, end);
    }
    assert!(provider.is_empty(), "{:?}", provider.snapshot());
    // A task that has ended may still be counted for a moment.
    while Handle::current().metrics().num_alive_tasks() > tasks_before {
        assert!(began.elapsed() < took + Duration::from_secs(10), "tasks are left");
        yield_now().await;
    }
    evidence(
        "soak_memory",
        &json!({
            "cycles": cycles, "seconds": took.as_secs(), "kib_in_the_middle": middle, "kib_at_the_end": end,
            "entries_left": provider.len(),
        }),
    );
}

/// So many cycles in each of the tasks.
async fn run(seed: u64, cycles: u64, provider: &InMemoryLockProvider, inside: &Arc<[AtomicU64]>) {
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (provider, inside) = (provider.clone(), Arc::clone(inside));
            tokio::spawn(async move {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (seed + task + 1));
                for _ in 0..cycles {
                    cycle(&provider, &inside, &mut dice).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
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
    match dice.roll(4) {
        0 => drop(guard.release().await),
        // An extension that is given up before or after it has done its work.
        1 => drop(poll!(&mut Box::pin(guard.extend(Duration::from_secs(20))))),
        2 => drop(guard.lost()),
        _ => drop(guard),
    }
}
