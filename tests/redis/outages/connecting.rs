//! The ways to a server: TLS, a Unix socket, another database.

use std::path::Path;
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, RedisLockOptions, RedisLockProvider};
use redis::cmd;

use super::scene::wait_for;
use super::scene::{KEY, LIMIT, NAME, SOON, granted, keys, lock, provider_at, unavailable, until_clean, until_waiting};
use crate::support::{Certificates, Identity, RedisServer};

const TTL: Duration = Duration::from_secs(20);

fn trusting(url: impl Into<String>, authority: &Path) -> RedisLockOptions {
    let authority = std::fs::read(authority).unwrap();
    RedisLockOptions::default().connection_string(url).tls_root_certificates(authority)
}

fn showing(options: RedisLockOptions, identity: &Identity) -> RedisLockProvider {
    let read = |path: &Path| std::fs::read(path).unwrap();
    RedisLockProvider::new(options.tls_client_identity(read(&identity.certificate), read(&identity.key))).unwrap()
}

/// Acquire, wait, hand over and release, between two processes.
async fn everything_works(server: &RedisServer, one: &RedisLockProvider, other: &RedisLockProvider) {
    one.check().await.unwrap();
    let guard = lock(one, NAME, TTL).acquire().await.unwrap();
    let waiter = wait_for(&lock(other, NAME, TTL), LIMIT);
    until_waiting(server, other, 1).await;
    guard.release().await.unwrap();
    granted(waiter).await.release().await.unwrap();
    until_clean(server, one, SOON).await;
    until_clean(server, other, SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_the_authority_that_is_trusted() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    let by_name = format!("localhost:{},ssl=true", server.port());
    let one = RedisLockProvider::new(trusting(server.url(), &certificates.authority())).unwrap();
    let other = RedisLockProvider::new(trusting(by_name, &certificates.authority())).unwrap();
    everything_works(&server, &one, &other).await;
    // A client certificate that the server did not ask for does no harm.
    let identified = showing(trusting(server.url(), &certificates.authority()), &certificates.client());
    everything_works(&server, &one, &identified).await;
    // It comes back after an outage.
    server.kill();
    unavailable(lock(&one, NAME, TTL).try_acquire(LIMIT).await);
    server.start_again();
    let guard = super::scene::until_granted(&lock(&one, NAME, TTL)).await;
    guard.release().await.unwrap();
}

/// Each bad certificate is refused, and the error says what is bad about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_a_bad_certificate() {
    let certificates = Certificates::new();
    for (identity, reason) in [
        (certificates.expired(), "expired"),
        (certificates.wrong_host(), "not valid for name"),
        (certificates.server_of_other_authority(), "UnknownIssuer"),
    ] {
        let server = RedisServer::builder().tls_as(&certificates, &identity).start();
        let provider = RedisLockProvider::new(trusting(server.url(), &certificates.authority())).unwrap();
        for text in
            [unavailable(lock(&provider, NAME, TTL).try_acquire(LIMIT).await), unavailable(provider.check().await)]
        {
            assert!(text.contains(reason) && text.contains(&server.port().to_string()), "{reason}: {text}");
        }
    }
    // Without the authority, the system's are trusted, and none of them is it.
    let server = RedisServer::builder().tls(&certificates).start();
    let text = unavailable(lock(&provider_at(server.url()), NAME, TTL).try_acquire(LIMIT).await);
    assert!(text.contains("certificate"), "{text}");
}

/// Without TLS to a server that wants it, and with TLS to one that does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_on_one_side_only() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    let plain = provider_at(format!("redis://127.0.0.1:{}", server.port()));
    unavailable(lock(&plain, NAME, TTL).try_acquire(LIMIT).await);
    let server = RedisServer::start();
    let url = format!("rediss://127.0.0.1:{}", server.port());
    let secured = RedisLockProvider::new(trusting(url, &certificates.authority())).unwrap();
    unavailable(lock(&secured, NAME, TTL).try_acquire(LIMIT).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().mutual_tls(&certificates).start();
    let options = || trusting(server.url(), &certificates.authority());
    let one = showing(options(), &certificates.client());
    let other = showing(options(), &certificates.client());
    everything_works(&server, &one, &other).await;
    let unidentified = RedisLockProvider::new(options()).unwrap();
    let stranger = showing(options(), &certificates.client_of_other_authority());
    for refused in [unidentified, stranger] {
        let text = unavailable(lock(&refused, NAME, TTL).try_acquire(LIMIT).await);
        assert!(text.contains(&server.port().to_string()), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket() {
    let server = RedisServer::start();
    let one = provider_at(server.socket_url());
    let other = provider_at(format!("!{}", server.socket().display()));
    everything_works(&server, &one, &other).await;
    everything_works(&server, &one, &provider_at(server.url())).await;
    server.kill();
    let text = unavailable(lock(&one, NAME, TTL).try_acquire(LIMIT).await);
    let text = if text.contains("connecting") { text } else { unavailable(lock(&one, NAME, TTL).acquire().await) };
    assert!(text.contains(&server.socket().display().to_string()), "{text}");
}

/// The number of the database counts: locks of two databases are two locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_database() {
    let server = RedisServer::start();
    let second = provider_at(format!("{}/2", server.url()));
    let same = provider_at(format!("127.0.0.1:{},defaultDatabase=2", server.port()));
    let first = provider_at(server.url());
    let guard = lock(&second, NAME, TTL).acquire().await.unwrap();
    assert!(keys(&server).is_empty());
    assert_eq!(server.cli(&["-n", "2", "EXISTS", KEY]), "1");
    assert!(lock(&same, NAME, TTL).try_acquire(Duration::ZERO).await.unwrap().is_none());
    lock(&first, NAME, TTL).try_acquire(Duration::ZERO).await.unwrap().unwrap().release().await.unwrap();
    let waiter = wait_for(&lock(&same, NAME, TTL), LIMIT);
    let name = super::scene::resource(NAME);
    super::scene::until("it waits", LIMIT, || same.waiters(&name) == 1).await;
    guard.release().await.unwrap();
    granted(waiter).await.release().await.unwrap();
    assert_eq!(server.cli(&["-n", "2", "EXISTS", KEY]), "0");
    // A database that is not there is the server's answer.
    let none = provider_at(format!("{}/99", server.url()));
    let refused = lock(&none, NAME, TTL).try_acquire(LIMIT).await;
    super::scene::backend(refused, "DB index");
    assert!(server.ask::<Vec<String>>(cmd("KEYS").arg("*")).iter().all(|key| key.ends_with(":f")));
}
