//! Options out of range, and the text of the errors.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockError, LockOptions, Locking};

fn refused(options: LockOptions) -> String {
    let provider = InMemoryLockProvider::new();
    let error = provider.create_lock("a".try_into().unwrap(), options).unwrap_err();
    assert!(matches!(error, LockError::InvalidOptions { .. }));
    let by_name = Locking::builder().add_in_memory_locking().build().unwrap().lock_with("a", options).unwrap_err();
    assert_eq!(by_name.to_string(), error.to_string(), "every way to a lock says the same");
    error.to_string()
}

#[test]
fn the_error_names_option_value_and_range() {
    let options = LockOptions::default;
    assert_eq!(refused(options().ttl(Duration::ZERO)), "the option ttl is 0ns; allowed: 10ms to 24h");
    assert_eq!(refused(options().ttl(Duration::from_millis(9))), "the option ttl is 9ms; allowed: 10ms to 24h");
    assert_eq!(refused(options().ttl(Duration::from_secs(86_401))), "the option ttl is 86401s; allowed: 10ms to 24h");
    assert_eq!(
        refused(options().max_hold(Some(Duration::from_millis(1)))),
        "the option max_hold is 1ms; allowed: 10ms or more, or none"
    );
}

#[tokio::test]
async fn an_extension_out_of_range_says_so() {
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    let guard = locking.lock("a").unwrap().acquire().await.unwrap();
    let error = guard.extend(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(error.to_string(), "the option duration (of extend) is 1ms; allowed: 10ms to 24h");
}

#[test]
fn defaults() {
    let options = LockOptions::default();
    assert_eq!(options.configured_ttl(), Duration::from_secs(30));
    assert!(options.configured_auto_renew());
    assert_eq!(options.configured_max_hold(), None);
    assert_eq!(options.configured_max_waiters(), None);
}
