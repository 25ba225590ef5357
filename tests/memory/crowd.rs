//! The bound on all who wait, with locks in memory.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockError, LockOptions};
use tokio::time::advance;

#[path = "../support/crowd.rs"]
mod support;

use support::Crowd;

fn crowd(most: usize) -> Crowd<impl Fn() -> usize> {
    let provider = InMemoryLockProvider::new().max_waiters_in_total(most);
    let asked = provider.clone();
    let waiting = move || asked.waiters_in_total();
    Crowd { waits: Arc::new(provider.clone()), holds: Arc::new(provider), waiting }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_bound_in_total_is_exact() {
    crowd(50).is_exact(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn places_in_total_are_freed_whenever_a_waiter_goes() {
    crowd(16).frees_what_is_given_up(16, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caller_waits_with_a_bound_in_total_of_zero() {
    crowd(0).no_caller_waits().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_of_a_name_is_told_apart_from_the_one_in_total() {
    crowd(0).says_which_bound().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_frees_the_places_in_total() {
    crowd(8).is_freed_by_closing(8).await;
}

/// A waiter that was granted a lease and did not come for it in time waits again, also if its place was taken meanwhile.
#[tokio::test(start_paused = true)]
async fn a_late_waiter_is_not_refused_for_the_bound_in_total() {
    let provider = InMemoryLockProvider::new().max_waiters_in_total(1);
    let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
    let lock = |name: &str| provider.create_lock(name.try_into().unwrap(), options).unwrap();
    let (one, other) = (lock("one"), lock("other"));
    let (first, held) = (one.acquire().await.unwrap(), other.acquire().await.unwrap());
    let mut late = Box::pin(one.acquire());
    assert!(futures_util::poll!(late.as_mut()).is_pending());
    drop(first);
    advance(Duration::from_secs(2)).await;
    drop(held);
    let (holder, mut behind) = (one.acquire().await.unwrap(), Box::pin(one.acquire()));
    assert!(futures_util::poll!(behind.as_mut()).is_pending());
    assert!(matches!(one.try_acquire(Duration::from_secs(1)).await, Err(LockError::TooManyWaitersInTotal)));
    assert!(futures_util::poll!(late.as_mut()).is_pending(), "it waits again");
    assert_eq!(provider.waiters_in_total(), 2);
    drop((holder, behind));
    assert!(late.await.unwrap().is_held());
    assert_eq!(provider.waiters_in_total(), 0);
}
