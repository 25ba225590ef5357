//! Ten thousand waiters that are cancelled at once.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockOptions};
use tokio::task::JoinSet;

#[tokio::test]
async fn ten_thousand_cancelled_waiters_leave_nothing() {
    const WAITERS: usize = 10_000;
    let provider = InMemoryLockProvider::new();
    let lock = provider.create_lock("bulk".try_into().unwrap(), LockOptions::default()).unwrap();
    let waiters = || provider.inspect(lock.resource()).map_or(0, |lock| lock.waiters);
    let guard = lock.acquire().await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..WAITERS {
        let lock = lock.clone();
        waiting.spawn(async move { lock.acquire().await });
    }
    while waiters() < WAITERS {
        tokio::task::yield_now().await;
    }
    waiting.shutdown().await;
    assert_eq!(waiters(), 0);
    assert!(guard.is_held());
    drop(guard);
    assert!(provider.is_empty());
    assert!(lock.try_acquire(Duration::ZERO).await.unwrap().is_some());
}

/// The same while the lock goes from one dying waiter to the next.
#[tokio::test]
async fn ten_thousand_waiters_cancelled_during_hand_over_leave_nothing() {
    const WAITERS: usize = 10_000;
    let provider = InMemoryLockProvider::new();
    let lock = provider.create_lock("bulk".try_into().unwrap(), LockOptions::default()).unwrap();
    let guard = lock.acquire().await.unwrap();
    let mut waiting: Vec<_> = (0..WAITERS).map(|_| Box::pin(lock.acquire())).collect();
    for acquire in &mut waiting {
        assert!(futures_util::poll!(acquire).is_pending());
    }
    // The first is granted the lock, is not polled, and dies; so does the next, and so on.
    drop(guard);
    assert_eq!(provider.inspect(lock.resource()).unwrap().waiters, WAITERS - 1);
    drop(waiting);
    assert!(provider.is_empty());
}

#[tokio::test]
async fn ten_thousand_names_leave_nothing() {
    let provider = InMemoryLockProvider::new();
    let mut guards = Vec::new();
    for name in 0..10_000 {
        let resource = format!("name:{name}").try_into().unwrap();
        guards.push(provider.create_lock(resource, LockOptions::default()).unwrap().acquire().await.unwrap());
    }
    assert_eq!(provider.len(), 10_000);
    assert_eq!(provider.snapshot().len(), 10_000);
    drop(guards);
    assert!(provider.is_empty());
}

/// Guards that are leaked and expire do not pile up.
#[tokio::test(start_paused = true)]
async fn leaked_guards_do_not_pile_up() {
    let provider = InMemoryLockProvider::new();
    let options = LockOptions::default().ttl(Duration::from_millis(10)).auto_renew(false);
    for round in 0..2_000 {
        for name in 0..100 {
            let resource = format!("{round}:{name}").try_into().unwrap();
            std::mem::forget(provider.create_lock(resource, options).unwrap().acquire().await.unwrap());
        }
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    // A bound by the number of shards, and not by the number of names.
    let shards = std::thread::available_parallelism().unwrap().get() * 32;
    assert!(provider.len() <= shards.next_power_of_two() * 512, "{} are kept", provider.len());
}
