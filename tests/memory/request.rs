//! Requests, waits, and leases that are on their way to a guard.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::provider::{Acquired, Acquiring, GrantedLease, LockBackend, Wait};
use orchestrix_locking::{
    DistributedLockProvider, InMemoryLockProvider, LockError, LockGuard, LockOptions, LockRequest, Release, Resource,
};
use tokio::time::Instant;

#[test]
fn a_request_has_what_it_was_given() {
    let name = Resource::try_from("a").unwrap();
    let plain = LockRequest::new(&name);
    assert_eq!((plain.resource(), plain.configured_wait()), (&name, Wait::No));
    assert_eq!(plain.configured_options(), &LockOptions::default());
    let options = LockOptions::default().ttl(Duration::from_secs(5));
    let whole = plain.clone().options(options).wait(Duration::from_secs(2));
    assert_eq!(whole.configured_options(), &options);
    assert_eq!(whole.configured_wait(), Wait::AtMost(Duration::from_secs(2)));
    assert_eq!(whole.by_ref().to_request(), whole);
    for same in
        [LockRequest::from(name.clone()), LockRequest::try_from("a").unwrap(), "a".to_owned().try_into().unwrap()]
    {
        assert_eq!(same, plain);
    }
    assert!(matches!(LockRequest::try_from(""), Err(LockError::InvalidResource { .. })));
    assert_eq!(whole.into_resource(), name);
}

#[tokio::test(start_paused = true)]
async fn a_wait_has_an_end_and_a_length() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    for (timeout, deadline) in [(Duration::ZERO, Some(now)), (second, Some(now + second)), (Duration::MAX, None)] {
        let wait = Wait::from(timeout);
        assert_eq!((wait.timeout(), wait.deadline(now)), (timeout, deadline));
    }
    // Too far away for a timer.
    assert_eq!(Wait::AtMost(Duration::MAX - second).deadline(now), None);
}

/// Passes its acquires on to another provider.
#[derive(Debug)]
struct Passing(InMemoryLockProvider);

impl LockBackend for Passing {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        Acquiring::pending(async move {
            let lock = self.0.create_lock(request.resource().clone(), *request.configured_options())?;
            Ok(lock.try_acquire(request.configured_wait().timeout()).await?.map(GrantedLease::from))
        })
    }
}

/// A lease that was granted and does not get to a guard leaves no lock behind, with an end of its own or without.
#[tokio::test]
async fn a_lease_that_no_guard_takes_is_released() {
    for options in [LockOptions::default(), LockOptions::default().auto_renew(false)] {
        let provider = InMemoryLockProvider::new();
        let acquire = || -> Acquiring {
            let request = LockRequest::try_from("a").unwrap().options(options);
            Arc::new(Passing(provider.clone())).acquire(request)
        };
        let granted: Acquired = acquire().await;
        assert!(granted.unwrap().is_some_and(|lease| lease.is_held() && lease.resource().as_str() == "a"));
        assert!(provider.is_empty());
        let lease = acquire().await.unwrap().unwrap();
        assert!(acquire().await.unwrap().is_none(), "it is held");
        assert_eq!(lease.release().await.unwrap(), Release::Released);
        assert!(provider.is_empty());
        let guard = LockGuard::from(acquire().await.unwrap().unwrap());
        let handle = guard.handle();
        drop(GrantedLease::from(guard));
        assert!(provider.is_empty() && !handle.is_held());
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_of_an_acquire_is_an_error() {
    let provider = InMemoryLockProvider::new();
    let lock = provider.create_lock("a".try_into().unwrap(), LockOptions::default()).unwrap();
    let guard = lock.acquire_timeout(Duration::from_secs(1)).await.unwrap();
    let begun = Instant::now();
    let busy = lock.acquire_timeout(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(busy, LockError::Busy { waited } if waited >= Duration::from_secs(1)), "{busy:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
    drop(guard);
    assert!(lock.acquire_timeout(Duration::ZERO).await.unwrap().is_held());
}
