//! Locks on the primary that Sentinel names.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockOptions, RedisLockProvider};

use super::fake::FakeSentinel;
use super::scene::{TIME, connected, fast, has, hosts, options, provider_with, replicated};
use crate::fixtures::{LONG, acquired, at_once, lock, lock_with, provider_at, soon, until};
use crate::support::{Certificates, RedisServer, SentinelSet};

/// Everything that locks do, by two providers, on the primary.
async fn everything(set: &SentinelSet, one: &RedisLockProvider, other: &RedisLockProvider) {
    one.check().await.unwrap();
    let renewed = acquired(&lock_with(one, "renewed", LockOptions::default().ttl(Duration::from_millis(900)))).await;
    let guard = acquired(&lock(one, "name")).await;
    let first = renewed.expires_at();
    assert!(at_once(&lock(other, "name")).await.is_none());
    let waiting = lock(other, "name");
    let waiting = tokio::spawn(async move { waiting.try_acquire(TIME).await });
    until("it waits", || other.waiters(&"name".try_into().unwrap()) == 1).await;

    let (index, primary) = set.primary();
    until("it is in the queue", || !primary.queue_of(&crate::fixtures::key_of("name")).is_empty()).await;
    assert!(has(primary, "name") && connected(primary) == 2);
    replicated(set);
    for replica in set.nodes().iter().enumerate().filter(|(other, _)| *other != index).map(|(_, node)| node) {
        assert!(has(replica, "name") && connected(replica) == 0);
    }

    assert!(guard.extend(LONG).await.unwrap());
    let token = guard.fencing_token();
    guard.release().await.unwrap();
    let next = soon("it is handed over", waiting).await.unwrap().unwrap().expect("there is time enough");
    assert!(next.fencing_token() > token);
    until("it is renewed", || renewed.expires_at() > first).await;
    next.release().await.unwrap();
    renewed.release().await.unwrap();
    assert_eq!(primary.leftovers(), [] as [&str; 0]);
}

#[tokio::test]
async fn locks_are_on_the_primary() {
    let set = SentinelSet::builder().replicas(2).start();
    let url = set.connection_string();
    everything(&set, &provider_at(&url), &provider_at(&url)).await;
}

/// Each form names the same service.
#[tokio::test]
async fn the_forms_of_the_string_mean_the_same() {
    let set = SentinelSet::start();
    let list = hosts(&set.sentinel_ports());
    let lettuce = provider_at(&format!("redis-sentinel://{list}/0?sentinelMasterId=locks"));
    let stackexchange = provider_at(&format!("{list},serviceName=locks"));
    everything(&set, &lettuce, &stackexchange).await;
    // One sentinel is enough, and another database is another one.
    let database = provider_at(&format!("redis+sentinel://127.0.0.1:{}/locks/3", set.sentinel_ports()[2]));
    let guard = acquired(&lock(&database, "name")).await;
    assert!(!has(set.primary().1, "name"));
    guard.release().await.unwrap();
}

/// The sentinels and the nodes use TLS, and so does the new primary.
#[tokio::test]
async fn tls_is_used_to_sentinels_and_nodes() {
    let certificates = Certificates::new();
    let set = fast().tls(&certificates).start();
    let pem = std::fs::read(certificates.authority()).unwrap();
    let trusting = || provider_with(options(&set.connection_string()).tls_root_certificates(pem.clone()));
    let (one, other) = (trusting(), trusting());
    everything(&set, &one, &other).await;
    let old = set.kill_primary();
    set.until_promoted(old).await;
    let guard = soon("granted", lock(&one, "name").try_acquire(TIME)).await.unwrap().unwrap();
    assert!(has(set.primary().1, "name"));
    guard.release().await.unwrap();

    // The sentinels' certificates are checked.
    let wary = provider_with(options(&set.connection_string()));
    let text = super::scene::unavailable(lock(&wary, "name").try_acquire(Duration::ZERO).await);
    assert!(text.contains("UnknownIssuer") && text.contains(&hosts(&set.sentinel_ports()[..1])), "{text}");
}

/// Sentinels without TLS beside servers with it, in both forms of the string.
#[tokio::test]
async fn tls_may_be_used_to_the_servers_alone() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    let sentinel = FakeSentinel::naming("127.0.0.1", server.port(), 1).await;
    let pem = std::fs::read(certificates.authority()).unwrap();
    let trusting = |text: &str| provider_with(options(text).tls_root_certificates(pem.clone()));
    let sentinels = hosts(&[sentinel.port()]);
    for text in [
        format!("rediss+sentinel://{sentinels}/locks?sentinel_ssl=false"),
        format!("{sentinels},serviceName=locks,ssl=true,sentinelSsl=false"),
    ] {
        let guard = soon("granted", lock(&trusting(&text), "name").try_acquire(TIME)).await.unwrap().unwrap();
        assert!(has(&server, "name"), "{text}");
        guard.release().await.unwrap();
    }
    // With TLS for neither the server's port is said to expect it.
    let plain = provider_with(options(&format!("redis+sentinel://{sentinels}/locks")));
    let text = super::scene::unavailable(lock(&plain, "name").try_acquire(Duration::ZERO).await);
    assert!(text.contains(&format!("127.0.0.1:{} is named as the primary", server.port())), "{text}");
}
