//! One process, several clocks: every paused runtime has its own.

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
