//! Mistakes in a registration: every one is reported, by name.

use std::time::Duration;

use orchestrix_locking::{BuildProblem, InMemoryLockProvider, LockOptions, Locking};

#[test]
fn no_default_provider() {
    let error = Locking::builder().build().unwrap_err();
    assert!(matches!(error.problems(), [BuildProblem::NoDefaultProvider]));
    assert_eq!(
        error.to_string(),
        "no default provider: add one with add_redis_locking, add_in_memory_locking or add_default_provider"
    );
    // One with a name is not the default.
    assert!(Locking::builder().add_provider("jobs", InMemoryLockProvider::new()).build().is_err());
}

#[test]
fn two_default_providers() {
    let builder = Locking::builder().add_in_memory_locking().add_default_provider(InMemoryLockProvider::new());
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        "2 default providers (add_in_memory_locking, add_default_provider): one is allowed, give the others names \
         with add_provider"
    );
}

#[test]
fn names_used_twice_and_empty_names() {
    let builder = Locking::builder()
        .add_in_memory_locking()
        .add_provider("jobs", InMemoryLockProvider::new())
        .add_provider("jobs", InMemoryLockProvider::new())
        .add_provider("", InMemoryLockProvider::new());
    assert_eq!(
        builder.build().unwrap_err().to_string(),
        "the provider name \"jobs\" is used twice; a provider has an empty name; at least one character is needed"
    );
}

#[test]
fn unknown_names() {
    let unknown = |locking: &Locking| locking.named("mails").unwrap_err().to_string();
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    assert_eq!(unknown(&locking), "there is no provider named \"mails\"; there are none with a name");
    let locking =
        Locking::builder().add_in_memory_locking().add_provider("jobs", InMemoryLockProvider::new()).build().unwrap();
    assert_eq!(unknown(&locking), "there is no provider named \"mails\"; there is \"jobs\"");
    let locking = Locking::builder()
        .add_in_memory_locking()
        .add_provider("jobs", InMemoryLockProvider::new())
        .add_provider("files", InMemoryLockProvider::new())
        .build()
        .unwrap();
    assert_eq!(unknown(&locking), "there is no provider named \"mails\"; there are [\"files\", \"jobs\"]");
}

#[test]
fn default_options_out_of_range() {
    let options = LockOptions::default().ttl(Duration::from_millis(1));
    let error = Locking::builder().add_in_memory_locking().default_options(options).build().unwrap_err();
    assert!(matches!(error.problems(), [BuildProblem::Options(_)]));
    assert_eq!(error.to_string(), "the option ttl is 1ms; allowed: 10ms to 24h");
}

#[test]
fn every_mistake_is_reported() {
    let error = Locking::builder()
        .add_provider("jobs", InMemoryLockProvider::new())
        .add_provider("jobs", InMemoryLockProvider::new())
        .default_options(LockOptions::default().ttl(Duration::ZERO))
        .build()
        .unwrap_err();
    assert!(matches!(
        error.problems(),
        [BuildProblem::NoDefaultProvider, BuildProblem::DuplicateName { .. }, BuildProblem::Options(_)]
    ));
}

#[tokio::test]
async fn named_providers_are_apart() {
    let locking =
        Locking::builder().add_in_memory_locking().add_provider("jobs", InMemoryLockProvider::new()).build().unwrap();
    let (default, jobs) = (locking.lock("a").unwrap(), locking.named("jobs").unwrap().lock("a").unwrap());
    let guard = default.acquire().await.unwrap();
    assert!(jobs.try_acquire(Duration::ZERO).await.unwrap().is_some());
    locking.named("jobs").unwrap().close().await;
    assert!(guard.is_held(), "closing a named face closes that provider alone");
    assert!(jobs.acquire().await.is_err());
    locking.close().await;
    assert!(!guard.is_held());
}
