//! Leases that only the guard knows at first, and what handles and signals see of them.

use std::time::Duration;

use orchestrix_locking::provider::Release;
use orchestrix_locking::{DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockOptions};
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn locked() -> (InMemoryLockProvider, DistributedLock) {
    let provider = InMemoryLockProvider::new();
    let lock = provider.create_lock("name".try_into().unwrap(), LockOptions::default().ttl(30 * SECOND)).unwrap();
    (provider, lock)
}

/// Whether the guard is asked first or a handle: both show one lease, and its times go on from that look.
#[tokio::test(start_paused = true)]
async fn all_handles_show_one_lease() {
    let (provider, lock) = locked();
    let guard = lock.acquire().await.unwrap();
    let (one, other) = (guard.handle(), guard.handle());
    assert_eq!(one.remaining(), 30 * SECOND);
    advance(4 * SECOND).await;
    assert_eq!((one.remaining(), other.remaining(), guard.remaining()), (26 * SECOND, 26 * SECOND, 26 * SECOND));
    assert_eq!((one.fencing_token(), other.fencing_token()), (guard.fencing_token(), guard.fencing_token()));
    assert_eq!(provider.inspect(lock.resource()).unwrap().remaining, 26 * SECOND);
}

/// The same for a look through the provider.
#[tokio::test(start_paused = true)]
async fn an_inspection_sees_the_lease_of_the_guard() {
    let (provider, lock) = locked();
    let guard = lock.acquire().await.unwrap();
    assert_eq!(provider.snapshot().first().unwrap().remaining, 30 * SECOND);
    advance(4 * SECOND).await;
    assert_eq!(guard.remaining(), 26 * SECOND);
    assert_eq!(guard.release().await.unwrap(), Release::Released);
    assert!(provider.is_empty());
}

/// A handle hears of the release before another caller has the lock, and of no loss.
#[tokio::test(start_paused = true)]
async fn a_handle_hears_of_the_release() {
    let (provider, lock) = locked();
    let guard = lock.acquire().await.unwrap();
    let (handle, mut lost) = (guard.handle(), guard.lost());
    assert!(timeout(SECOND, &mut lost).await.is_err());
    let next = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await.unwrap() }
    });
    tokio::task::yield_now().await;
    assert_eq!(guard.release().await.unwrap(), Release::Released);
    assert!(!handle.is_held());
    let next = next.await.unwrap();
    assert!(next.is_held() && !handle.is_held() && next.fencing_token() > handle.fencing_token());
    assert!(timeout(100 * SECOND, lost).await.is_err(), "a release is no loss");
    drop(next);
    assert!(provider.is_empty());
}

/// An extended lease goes on as the guard's own, and is freed by it.
#[tokio::test(start_paused = true)]
async fn an_extended_lease_is_still_the_guards() {
    let (provider, lock) = locked();
    let guard = lock.acquire().await.unwrap();
    assert!(guard.extend(60 * SECOND).await.unwrap());
    assert_eq!(guard.remaining(), 60 * SECOND);
    advance(1000 * SECOND).await;
    assert!(guard.is_held());
    drop(guard);
    assert!(provider.is_empty());
}

/// Closing ends a lease that was never shared, and a handle that is made then shows a lost one, always with the same times.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_shared_after_closing_is_lost() {
    let (provider, lock) = locked();
    let guard = lock.acquire().await.unwrap();
    provider.close().await;
    let closed_at = Instant::now();
    assert!(!guard.is_held());
    advance(SECOND).await;
    provider.close().await;
    assert_eq!(guard.expires_at(), closed_at);
    assert_eq!(guard.remaining(), Duration::ZERO);
    let handle = guard.handle();
    assert!(!handle.is_held() && handle.fencing_token() == guard.fencing_token());
    timeout(SECOND, handle.lost()).await.unwrap();
    timeout(SECOND, guard.lost()).await.unwrap();
    assert!(!guard.extend(SECOND).await.unwrap());
    assert_eq!(guard.release().await.unwrap(), Release::AlreadyLost);
}

/// A lease that was shared before the closing is lost by it, with its guard.
#[tokio::test(start_paused = true)]
async fn closing_ends_a_shared_lease_with_its_guard() {
    let (provider, lock) = locked();
    let guard = lock.acquire().await.unwrap();
    let handle = guard.handle();
    provider.close().await;
    assert!(!guard.is_held() && !handle.is_held());
    timeout(SECOND, handle.lost()).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Release::AlreadyLost);
}
