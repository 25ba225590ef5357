//! Paused tokio time, which docs/redis.md advises against with a real server, and what it advises instead.

use std::time::Duration;

use orchestrix_locking::{LockError, LockOptions, Locking};
use tokio::time::{Instant, resume, sleep};

use crate::fixtures::{lock, provider_at};
use crate::support::RedisServer;

/// The clock jumps to the next time-out while an answer is on its way, so that a server that is well is taken for silent.
/// Such an acquire is an error, and never a lock without a holder; with the clock going on, everything works again.
#[tokio::test(start_paused = true)]
async fn a_real_server_is_taken_for_silent() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let lock = lock(&provider, "name");
    let mut silent = 0;
    for _ in 0..20 {
        match lock.try_acquire(Duration::from_secs(5)).await {
            Ok(guard) => drop(guard.expect("no other holds it")),
            Err(error) => {
                assert!(matches!(error, LockError::Unavailable { .. }), "{error:?}");
                silent += 1;
            }
        }
    }
    // Usually all but the first few. If it is none, the advice in docs/redis.md is out of date.
    assert!(silent > 0, "each of 20 acquires had its answer in time");
    resume();
    let begun = std::time::Instant::now();
    while lock.try_acquire(Duration::from_secs(5)).await.is_err() {
        sleep(Duration::from_millis(5)).await;
        assert!(begun.elapsed() < Duration::from_secs(15), "it goes on failing in real time");
    }
    crate::fixtures::until("nothing is left", || server.leftovers().is_empty()).await;
}

/// What is tested under paused time takes its locks from memory: hours of leases pass at once, and none is lost by it.
#[tokio::test(start_paused = true)]
async fn locks_in_memory_follow_the_paused_clock() {
    let options = LockOptions::default().ttl(Duration::from_secs(3_600)).auto_renew(false);
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    let begun = std::time::Instant::now();
    for number in 0..20 {
        let guard = locking.lock_with("name", options).unwrap().try_acquire(Duration::ZERO).await.unwrap();
        let guard = guard.unwrap_or_else(|| panic!("free at {number}"));
        sleep(Duration::from_secs(3_599)).await;
        assert!(guard.is_held());
        let waited = Instant::now();
        // The second holder has the lock when the first one's lease has ended.
        let next = locking.lock_with("name", options).unwrap().acquire().await.unwrap();
        assert!(waited.elapsed() <= Duration::from_secs(2) && !guard.is_held());
        drop(next);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
