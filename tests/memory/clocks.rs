//! Leases and clocks: several in one process, where every paused runtime has its own, and the times that a lease shows.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockOptions};
use tokio::runtime::Builder;

/// A lease's end must not be counted from the clock of whichever runtime happened to grant the first one.
#[test]
fn a_clock_that_ran_ahead_does_not_shorten_leases_elsewhere() {
    let options = LockOptions::default().ttl(Duration::from_secs(5)).auto_renew(false);
    // Made first, and so behind the other's clock by an hour.
    let behind = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let ahead = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let acquire = async || {
        let provider = InMemoryLockProvider::new();
        let lock = provider.create_lock("a".try_into().unwrap(), options).unwrap();
        let guard = lock.acquire().await.unwrap();
        assert!(guard.is_held());
        tokio::time::advance(Duration::from_millis(4_999)).await;
        assert!(guard.is_held());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!guard.is_held());
    };
    ahead.block_on(async {
        tokio::time::advance(Duration::from_secs(3600)).await;
        acquire().await;
    });
    behind.block_on(acquire());
}

/// A lease that a living guard renews has no end by itself. The times that it shows begin at the first look, and then go
/// on as those of any renewed lease: never more than the TTL, and never less than two thirds of it.
#[tokio::test(start_paused = true)]
async fn a_renewed_lease_shows_its_times_from_the_first_look_on() {
    let second = Duration::from_secs(1);
    let options = LockOptions::default().ttl(30 * second);
    let lock = InMemoryLockProvider::new().create_lock("name".try_into().unwrap(), options).unwrap();
    let guard = lock.acquire().await.unwrap();
    tokio::time::advance(5 * second).await;
    assert_eq!(guard.expires_at(), tokio::time::Instant::now() + 30 * second);
    tokio::time::advance(9 * second).await;
    assert_eq!(guard.remaining(), 21 * second, "time passes");
    tokio::time::advance(2 * second).await;
    assert_eq!(guard.remaining(), 29 * second, "renewed at a third of the TTL");
    tokio::time::advance(1000 * second).await;
    assert!(guard.is_held() && guard.remaining() > 20 * second);
}
