//! What besides acquires can be given up: an extension, a release, a check, a close. Each is dropped unpolled and after
//! its one poll; the conformance kit does so with acquires and releases, on every provider.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockGuard, LockOptions,
};

/// Drops a future after so many polls. Whether it had ended.
fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    (0..polls).any(|_| future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready())
}

fn lock(provider: &InMemoryLockProvider) -> DistributedLock {
    let options = LockOptions::default().ttl(Duration::from_secs(10)).auto_renew(false);
    provider.create_lock("name".try_into().unwrap(), options).unwrap()
}

async fn acquired(provider: &InMemoryLockProvider) -> LockGuard {
    lock(provider).try_acquire(Duration::ZERO).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dropped_extension_has_happened_or_not() {
    let provider = InMemoryLockProvider::new();
    for polls in 0..2 {
        let guard = acquired(&provider).await;
        let before = guard.expires_at();
        let ended = dropped_after(polls, guard.extend(Duration::from_secs(60)));
        assert_eq!(ended, polls > 0, "it takes one poll");
        assert_eq!(guard.expires_at() > before, ended);
        assert!(guard.is_held());
        drop(guard);
        assert!(provider.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_release_has_happened() {
    let provider = InMemoryLockProvider::new();
    for polls in 0..2 {
        let guard = acquired(&provider).await;
        let lost = guard.lost();
        dropped_after(polls, guard.release());
        assert!(provider.is_empty(), "after {polls} polls");
        assert!(!dropped_after(2, lost), "a release is no loss");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_check_or_close_leaves_the_provider_whole() {
    for polls in 0..2 {
        let provider = InMemoryLockProvider::new();
        let guard = acquired(&provider).await;
        let waiting = lock(&provider);
        let mut waiting = pin!(waiting.acquire());
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        dropped_after(polls, provider.check());
        assert!(guard.is_held());
        let closed = dropped_after(polls, provider.close());
        assert_eq!(closed, polls > 0, "it takes one poll");
        assert_eq!(guard.is_held(), !closed);
        let answer = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(matches!(answer, Poll::Ready(Err(LockError::Closed))), closed);
        provider.close().await;
        assert!(provider.is_empty() && !guard.is_held());
        assert!(matches!(provider.check().await, Err(LockError::Closed)));
    }
}
