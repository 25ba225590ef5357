//! Shared locks, permits, and locks that stay taken, over several processes: costs, order, and what survives a process.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, LockGuard, LockMode, LockOptions, RedisLockProvider, Release,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::fixtures::{LONG, acquired, at_once, key_of, lock, lock_with, provider_at, soon, until};
use crate::support::{CommandLog, RedisServer};

const NAME: &str = "account:42";

async fn connected(server: &RedisServer) -> RedisLockProvider {
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "warm-up")).await.release().await.unwrap();
    provider
}

fn in_mode(provider: &RedisLockProvider, mode: LockMode) -> DistributedLock {
    lock_with(provider, NAME, LockOptions::default().ttl(LONG).mode(mode))
}

fn read(provider: &RedisLockProvider) -> DistributedLock {
    in_mode(provider, LockMode::Shared)
}

fn write(provider: &RedisLockProvider) -> DistributedLock {
    in_mode(provider, LockMode::Exclusive)
}

/// A caller that waits, and is known to the server.
async fn waits(server: &RedisServer, lock: DistributedLock, others: usize) -> JoinHandle<LockGuard> {
    let waiting = tokio::spawn(async move { lock.acquire().await.unwrap() });
    until("the server knows", || server.queue_of(&key_of(NAME)).len() == others + 1).await;
    waiting
}

async fn got(waiting: JoinHandle<LockGuard>) -> LockGuard {
    soon("a waiter is granted the lock", waiting).await.unwrap()
}

async fn commands(log: &mut CommandLog<'_>) -> u64 {
    log.commands_of_clients().await.values().sum()
}

/// The first reader of a process is asked for, and the last one gives the lock back. All others cost nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_readers_of_a_process_cost_what_one_costs() {
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let mut log = server.log_commands().await;
    let began = Instant::now();
    let readers: Vec<_> = (0..1_000)
        .map(|_| {
            let read = read(&provider);
            tokio::spawn(async move { read.acquire().await.unwrap() })
        })
        .collect();
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(got(reader).await);
    }
    assert_eq!(guards.iter().map(LockGuard::fencing_token).collect::<BTreeSet<_>>().len(), 1);
    // Once a second the server is asked whether others wait.
    let most = 1 + began.elapsed().as_secs();
    let asked = commands(&mut log).await;
    assert!((1..=most).contains(&asked), "{asked} commands for the first one");
    let last = guards.pop().unwrap();
    for guard in guards {
        assert_eq!(guard.release().await.unwrap(), Release::Released);
    }
    assert_eq!(commands(&mut log).await, asked, "others hold it");
    last.release().await.unwrap();
    assert_eq!(commands(&mut log).await, asked + 1);
    assert!(server.leftovers().is_empty());
}

/// Callers who want permits at the same time are sent together, and so are their releases.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_are_asked_for_together() {
    const PERMITS: u32 = 64;
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let mut log = server.log_commands().await;
    let callers: Vec<_> = (0..PERMITS)
        .map(|_| {
            let permit = in_mode(&provider, LockMode::permits(PERMITS));
            tokio::spawn(async move { permit.acquire().await.unwrap() })
        })
        .collect();
    let mut guards = Vec::new();
    for caller in callers {
        guards.push(got(caller).await);
    }
    let numbers: BTreeSet<_> = guards.iter().filter_map(LockGuard::permit).collect();
    assert_eq!(numbers, (0..PERMITS).collect());
    assert!(at_once(&in_mode(&provider, LockMode::permits(PERMITS))).await.is_none());
    let asked = commands(&mut log).await;
    assert!(asked <= u64::from(PERMITS) / 4, "{asked} commands for {PERMITS} permits");
    let ending: Vec<_> = guards.into_iter().map(|guard| tokio::spawn(guard.release())).collect();
    for release in ending {
        assert_eq!(release.await.unwrap().unwrap(), Release::Released);
    }
    let released = commands(&mut log).await - asked;
    assert!(released <= u64::from(PERMITS) / 4, "{released} commands to release {PERMITS} permits");
    assert!(server.leftovers().is_empty());
}

/// Once a writer of another process waits, no further reader of this one passes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_writer_is_passed_by_no_reader() {
    let server = RedisServer::start();
    let (one, other) = (connected(&server).await, connected(&server).await);
    let first = acquired(&read(&one)).await;
    let writer = waits(&server, write(&other), 0).await;
    // The process hears of it in a moment.
    until("no reader joins", || {
        let read = read(&one);
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async move { at_once(&read).await.is_none() })
        })
    })
    .await;
    let behind = waits(&server, read(&one), 1).await;
    assert!(!behind.is_finished() && !writer.is_finished());
    let token = first.fencing_token();
    first.release().await.unwrap();
    let writer = got(writer).await;
    assert!(writer.fencing_token() > token && !behind.is_finished());
    writer.release().await.unwrap();
    let behind = got(behind).await;
    assert!(behind.fencing_token() > token);
    behind.release().await.unwrap();
    assert!(server.leftovers().is_empty());
}

/// Readers who come without a pause keep no writer out, and neither do writers a reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_readers_nor_writers_starve() {
    for (many, one) in [(LockMode::Shared, LockMode::Exclusive), (LockMode::Exclusive, LockMode::Shared)] {
        let server = RedisServer::start();
        let providers = [connected(&server).await, connected(&server).await, connected(&server).await];
        let crowd: Vec<_> = (0..12)
            .map(|number| {
                let lock = in_mode(&providers[number % 2], many);
                tokio::spawn(async move {
                    loop {
                        let guard = lock.acquire().await.unwrap();
                        sleep(Duration::from_millis(5)).await;
                        guard.release().await.unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            sleep(Duration::from_millis(50)).await;
            let guard = acquired(&in_mode(&providers[2], one)).await;
            guard.release().await.unwrap();
        }
        for task in crowd {
            task.abort();
        }
    }
}

/// A process that dies leaves its permit and its share behind for one lease, whatever others do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permits_and_readers_of_a_dead_process_end_with_their_own_lease() {
    let server = RedisServer::start();
    let ttl = Duration::from_secs(2);
    for mode in [LockMode::Shared, LockMode::permits(2)] {
        let (alive, dying) = (connected(&server).await, connected(&server).await);
        let short = LockOptions::default().ttl(ttl).mode(mode);
        let kept = acquired(&lock_with(&alive, NAME, short)).await;
        let lost = acquired(&lock_with(&dying, NAME, short.auto_renew(false))).await;
        let number = lost.permit();
        std::mem::forget(lost);
        let began = Instant::now();
        let next = match mode {
            LockMode::Shared => None,
            _ => Some(acquired(&lock_with(&alive, NAME, short)).await),
        };
        if let Some(next) = next {
            assert!(began.elapsed() > ttl / 2, "{:?}", began.elapsed());
            assert_eq!(next.permit(), number, "the lowest that is free");
            next.release().await.unwrap();
        }
        sleep(ttl).await;
        assert!(kept.is_held());
        kept.release().await.unwrap();
        acquired(&write(&alive)).await.release().await.unwrap();
    }
}

/// A name that is to stay taken does, after the release and after the end of the provider, and is granted then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_stays_taken_for_its_time() {
    let server = RedisServer::start();
    let at_least = Duration::from_millis(1_500);
    for mode in [LockMode::Exclusive, LockMode::Shared, LockMode::permits(1)] {
        for closes in [false, true] {
            let (one, other) = (connected(&server).await, connected(&server).await);
            let options = LockOptions::default().ttl(Duration::from_millis(500)).mode(mode).at_least(at_least);
            let began = Instant::now();
            let guard = acquired(&lock_with(&one, NAME, options)).await;
            let token = guard.fencing_token();
            if closes {
                one.close().await;
                drop(guard);
            } else {
                guard.release().await.unwrap();
                assert!(at_once(&write(&one)).await.is_none(), "{mode}");
            }
            let waiting = tokio::spawn({
                let write = write(&other);
                async move { write.acquire().await.unwrap() }
            });
            let next = got(waiting).await;
            let after = began.elapsed();
            assert!(after + at_least / 50 >= at_least, "{mode}: after {after:?}");
            assert!(next.fencing_token() > token);
            next.release().await.unwrap();
            until("nothing is left", || server.leftovers().is_empty()).await;
        }
    }
}

/// With a time that the name stays taken and an attempt that does not wait, something is done once an interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_an_interval_over_all_processes() {
    let server = RedisServer::start();
    let interval = Duration::from_millis(700);
    let mut tasks = Vec::new();
    let began = Instant::now();
    for _ in 0..3 {
        let provider = connected(&server).await;
        tasks.push(tokio::spawn(async move {
            let job = lock_with(&provider, NAME, LockOptions::default().at_least(interval));
            let mut runs = Vec::new();
            while began.elapsed() < 5 * interval {
                if let Some(guard) = job.try_acquire(Duration::ZERO).await.unwrap() {
                    runs.push(began.elapsed());
                    guard.release().await.unwrap();
                }
                sleep(Duration::from_millis(20)).await;
            }
            runs
        }));
    }
    let mut runs = Vec::new();
    for task in tasks {
        runs.extend(soon("the tasks end", task).await.unwrap());
    }
    runs.sort();
    assert!(runs.len() >= 3, "{runs:?}");
    let nearest = runs.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min().unwrap();
    assert!(nearest + Duration::from_millis(50) >= interval, "{runs:?}");
}

/// The order over modes is that of the calls, in one process and over several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_is_that_of_the_calls_over_all_modes() {
    let server = RedisServer::start();
    let modes = [
        LockMode::Shared,
        LockMode::Exclusive,
        LockMode::permits(2),
        LockMode::permits(2),
        LockMode::Shared,
        LockMode::Exclusive,
    ];
    let order = Arc::new(Mutex::new(Vec::new()));
    let holder = connected(&server).await;
    let guard = acquired(&write(&holder)).await;
    let mut tasks = Vec::new();
    for (number, mode) in modes.into_iter().enumerate() {
        let (lock, order) = (in_mode(&connected(&server).await, mode), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let guard = lock.acquire().await.unwrap();
            order.lock().unwrap().push(number);
            sleep(Duration::from_millis(10)).await;
            guard.release().await.unwrap();
        }));
        until("the server knows", || server.queue_of(&key_of(NAME)).len() == number + 1).await;
    }
    guard.release().await.unwrap();
    for task in tasks {
        soon("all are served", task).await.unwrap();
    }
    let mut order = order.lock().unwrap().clone();
    // The two with permits hold it together.
    order[2..4].sort_unstable();
    assert_eq!(order, (0..modes.len()).collect::<Vec<_>>());
    assert!(server.leftovers().is_empty());
}
