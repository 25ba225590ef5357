//! Wrong passwords, at the start and later.

use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockError, RedisLockProvider};

use super::scene::{
    LIMIT, NAME, SOON, backend, ended, granted, lock, provider_at, until_clean, until_it_works, until_waiting, wait_for,
};
use crate::support::RedisServer;

const RIGHT: &str = "r1ght-c4n4ry";
const WRONG: &str = "wr0ng-c4n4ry";
const TTL: Duration = Duration::from_secs(20);

fn at(server: &RedisServer, password: &str) -> RedisLockProvider {
    provider_at(format!("redis://{password}127.0.0.1:{}", server.port()))
}

fn silent(text: &str) {
    assert!(!text.contains(RIGHT) && !text.contains(WRONG) && !text.contains("c4n4ry"), "{text}");
}

/// A wrong password is the server's answer, not an outage, and is told without the password; once the server has the
/// password that we have, everything works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_from_the_start() {
    let server = RedisServer::builder().password(RIGHT).start();
    for (password, code) in [(format!(":{WRONG}@"), "WRONGPASS"), (String::new(), "NOAUTH")] {
        let provider = at(&server, &password);
        for _ in 0..3 {
            let begun = Instant::now();
            let answer = lock(&provider, NAME, TTL).try_acquire(LIMIT).await;
            silent(&format!("{answer:?} {provider:?}"));
            let text = backend(answer, code);
            silent(&text);
            assert!(text.contains(&server.port().to_string()), "{text}");
            assert!(begun.elapsed() < SOON / 2, "told at once");
        }
        let checked = provider.check().await;
        silent(&format!("{checked:?}"));
        backend(checked, code);
        assert_eq!(provider.len(), 0);
        server.cli(&["CONFIG", "SET", "requirepass", if password.is_empty() { "" } else { WRONG }]);
        until_it_works(&lock(&provider, "again", TTL)).await;
        until_clean(&server, &provider, SOON).await;
        provider.check().await.unwrap();
        server.cli(&["CONFIG", "SET", "requirepass", RIGHT]);
    }
}

/// The password is changed while locks are held and waited for: new callers are told, waiters wait on, and when it
/// is set right the holder still has its lock, and hands it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_while_running() {
    let server = RedisServer::builder().password(RIGHT).start();
    let (provider, other) = (at(&server, &format!(":{RIGHT}@")), at(&server, &format!(":{RIGHT}@")));
    let guard = lock(&provider, NAME, TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    let short = wait_for(&lock(&other, NAME, TTL), Duration::from_millis(1_500));
    until_waiting(&server, &other, 2).await;
    server.cli(&["CONFIG", "SET", "requirepass", WRONG]);
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    // The callers who come when the provider has noticed.
    let deadline = Instant::now() + SOON;
    let text = loop {
        match lock(&provider, "another", TTL).try_acquire(Duration::ZERO).await {
            Err(error @ LockError::Backend { .. }) => break format!("{error} {error:?}"),
            answer => assert!(Instant::now() < deadline, "{answer:?}"),
        }
    };
    assert!(text.contains("WRONGPASS"), "{text}");
    silent(&text);
    // The waiter whose time is up is told the same.
    silent(&backend(ended(short).await.0, "WRONGPASS"));
    assert!(guard.is_held() && !waiter.is_finished());
    server.cli(&["CONFIG", "SET", "requirepass", RIGHT]);
    until_it_works(&lock(&provider, "again", TTL)).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
    granted(waiter).await.release().await.unwrap();
    until_clean(&server, &other, SOON).await;
}
