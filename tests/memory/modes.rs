//! Readers, permits and least times in memory: what the conformance kit does not see.

use std::time::Duration;

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockGuard, LockMode, LockOptions,
    Locking,
};
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);

fn lock(provider: &InMemoryLockProvider, options: LockOptions) -> DistributedLock {
    provider.create_lock("name".try_into().unwrap(), options).unwrap()
}

fn reading() -> LockOptions {
    LockOptions::default().mode(LockMode::Shared)
}

#[tokio::test(start_paused = true)]
async fn an_inspection_counts_the_holders() {
    let provider = InMemoryLockProvider::new();
    let read = lock(&provider, reading().ttl(30 * SECOND));
    let ending = lock(&provider, reading().ttl(10 * SECOND).auto_renew(false));
    let guards = (read.acquire().await.unwrap(), ending.acquire().await.unwrap());
    let info = provider.inspect(read.resource()).unwrap();
    assert_eq!((info.mode, info.holders, info.waiters), (LockMode::Shared, 2, 0));
    assert_eq!((info.remaining, info.fencing_token), (30 * SECOND, guards.0.fencing_token()));
    advance(11 * SECOND).await;
    assert_eq!(provider.inspect(read.resource()).unwrap().holders, 1);
    drop(guards);
    assert!(provider.is_empty());

    let permits = lock(&provider, LockOptions::default().mode(LockMode::permits(2)));
    let (one, other) = (permits.acquire().await.unwrap(), permits.acquire().await.unwrap());
    let info = provider.inspect(permits.resource()).unwrap();
    assert_eq!((info.mode, info.holders), (LockMode::permits(2), 2));
    assert_eq!(info.fencing_token, other.fencing_token());
    drop(one);
    assert_eq!(provider.snapshot().first().unwrap().holders, 1);
}

#[tokio::test(start_paused = true)]
async fn an_inspection_shows_what_is_kept() {
    let provider = InMemoryLockProvider::new();
    let job = lock(&provider, LockOptions::default().at_least(60 * SECOND));
    let guard = job.acquire().await.unwrap();
    advance(20 * SECOND).await;
    drop(guard);
    let info = provider.inspect(job.resource()).unwrap();
    assert_eq!((info.holders, info.remaining), (0, 40 * SECOND));
    advance(40 * SECOND).await;
    assert!(job.try_acquire(Duration::ZERO).await.unwrap().is_some());
}

/// Exactly at the end of the least time, and without any other caller that looks.
#[tokio::test(start_paused = true)]
async fn a_waiter_is_served_when_the_least_time_is_over() {
    let provider = InMemoryLockProvider::new();
    let began = Instant::now();
    let guard = lock(&provider, LockOptions::default().at_least(60 * SECOND)).acquire().await.unwrap();
    let plain = lock(&provider, LockOptions::default().ttl(3600 * SECOND));
    let waiting = tokio::spawn(async move { plain.acquire().await.map(drop) });
    yield_now().await;
    drop(guard);
    waiting.await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), 60);
    assert!(provider.is_empty());
}

/// A leaked reader without renewal ends at the end of its own lease, and not with the longer one of another.
#[tokio::test(start_paused = true)]
async fn a_dead_reader_ends_by_itself() {
    let provider = InMemoryLockProvider::new();
    let dead = lock(&provider, reading().ttl(10 * SECOND).auto_renew(false)).acquire().await.unwrap();
    let other = lock(&provider, reading().ttl(60 * SECOND).auto_renew(false)).acquire().await.unwrap();
    std::mem::forget(dead);
    let write = lock(&provider, LockOptions::default());
    assert!(write.try_acquire(11 * SECOND).await.unwrap().is_none(), "another reader is there");
    drop(other);
    assert!(write.try_acquire(Duration::ZERO).await.unwrap().is_some(), "the dead reader is gone");
}

/// The same for a permit: its number is given again.
#[tokio::test(start_paused = true)]
async fn a_dead_holder_gives_its_permit_back() {
    let provider = InMemoryLockProvider::new();
    let two = LockOptions::default().mode(LockMode::permits(2));
    let dead = lock(&provider, two.ttl(10 * SECOND).auto_renew(false)).acquire().await.unwrap();
    let other = lock(&provider, two).acquire().await.unwrap();
    std::mem::forget(dead);
    let next = lock(&provider, two).try_acquire(11 * SECOND).await.unwrap();
    assert_eq!(next.as_ref().and_then(LockGuard::permit), Some(0), "the dead holder's number is given again");
    assert_eq!(other.permit(), Some(1));
}

/// Names that are kept and never asked for again are swept, as are leaked guards.
#[tokio::test(start_paused = true)]
async fn kept_names_use_no_memory_for_ever() {
    let provider = InMemoryLockProvider::new();
    let options = LockOptions::default().at_least(SECOND);
    for round in 0..200 {
        for number in 0..1000 {
            let name = format!("{round}:{number}").try_into().unwrap();
            drop(provider.create_lock(name, options).unwrap().acquire().await.unwrap());
        }
        advance(2 * SECOND).await;
    }
    // A sweep is due when the entries of a shard have doubled.
    let shards = std::thread::available_parallelism().unwrap().get().saturating_mul(32).next_power_of_two();
    assert!(provider.len() <= shards * 512, "{} names are kept", provider.len());
}

/// A crowd of readers costs no search for each of them.
#[tokio::test]
async fn twenty_thousand_readers_hold_and_leave() {
    const READERS: usize = 20_000;
    let provider = InMemoryLockProvider::new();
    let (read, write) = (lock(&provider, reading()), lock(&provider, LockOptions::default()));
    let writer = write.acquire().await.unwrap();
    let waiting: Vec<_> = (0..READERS)
        .map(|_| {
            let read = read.clone();
            tokio::spawn(async move { read.acquire().await.unwrap() })
        })
        .collect();
    while provider.inspect(read.resource()).unwrap().waiters < READERS {
        yield_now().await;
    }
    drop(writer);
    let mut guards = Vec::new();
    for task in waiting {
        guards.push(task.await.unwrap());
    }
    assert_eq!(provider.inspect(read.resource()).unwrap().holders, READERS);
    assert!(guards.windows(2).all(|pair| pair[0].fencing_token() == pair[1].fencing_token()));
    drop(guards);
    assert!(provider.is_empty());
}

/// The limits on waiters are those of all modes together.
#[tokio::test]
async fn waiters_of_all_modes_are_limited_together() {
    let provider = InMemoryLockProvider::new();
    let guard = lock(&provider, reading()).acquire().await.unwrap();
    let limited = LockOptions::default().max_waiters(Some(1));
    let write = lock(&provider, limited);
    let mut waiting = Box::pin(write.acquire());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    for mode in [LockMode::Shared, LockMode::permits(3), LockMode::Exclusive] {
        let refused = lock(&provider, limited.mode(mode)).acquire().await;
        assert!(matches!(refused, Err(LockError::TooManyWaiters)), "{mode}: {refused:?}");
    }
    drop((waiting, guard));
    assert!(provider.is_empty());
}

#[tokio::test]
async fn locks_of_a_registration_have_modes() {
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    let document = locking.read_write("document").unwrap();
    assert_eq!((document.read().mode(), document.write().mode()), (LockMode::Shared, LockMode::Exclusive));
    assert_eq!(document.resource().as_str(), "document");
    let pool = locking.semaphore("pool", 3).unwrap();
    assert_eq!(pool.mode(), LockMode::permits(3));
    assert!(matches!(locking.semaphore("pool", 0), Err(LockError::InvalidOptions { .. })));
    assert!(matches!(locking.read_write(""), Err(LockError::InvalidResource { .. })));
    let guard = pool.acquire().await.unwrap();
    assert_eq!((guard.handle().permit(), guard.handle().mode()), (Some(0), LockMode::permits(3)));
}
