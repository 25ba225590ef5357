//! What a wrong set-up is called: the errors that a mistake of an operator gives, at a real server.

use std::fs::read;
use std::time::Duration;

use orchestrix_locking::{LockError, RedisLockOptions, RedisLockProvider};

use crate::fixtures::{lock, provider_at, soon, until};
use crate::support::{Certificates, Identity, RedisServer};

fn at(url: impl Into<String>) -> RedisLockOptions {
    RedisLockOptions::default().connection_string(url)
}

/// The error that a caller gets, as a text. It has all of these in it.
async fn told(options: RedisLockOptions, parts: &[&str]) -> LockError {
    let provider = RedisLockProvider::new(options).unwrap();
    let error = soon("it is answered", lock(&provider, "name").try_acquire(Duration::from_secs(4))).await.unwrap_err();
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    error
}

fn is_backend(error: &LockError) -> bool {
    matches!(error, LockError::Backend { .. })
}

/// The name's slot is served by no node, and then by another one than that of the string.
#[tokio::test]
async fn a_name_whose_slot_no_node_serves_is_told_as_that() {
    let server = RedisServer::builder().cluster().config("cluster-require-full-coverage", "no").start();
    let slot = server.cli(&["CLUSTER", "KEYSLOT", "orchestrix:lock:name"]);
    let number: u16 = slot.parse().unwrap();
    server.take_slots(&[0..=number - 1, number + 1..=16_383], 1);
    let error = told(at(server.url()), &["no node serves the slot"]).await;
    assert!(matches!(error, LockError::Unavailable { .. }), "{error:?}");

    let other = RedisServer::builder().cluster().config("cluster-require-full-coverage", "no").start();
    other.take_slots(&[], 0);
    let bus = other.cli(&["CONFIG", "GET", "cluster-port"]);
    let bus = bus.lines().last().unwrap();
    server.cli(&["CLUSTER", "MEET", "127.0.0.1", &other.port().to_string(), bus]);
    until("they know each other", || other.cli(&["CLUSTER", "NODES"]).lines().count() == 2).await;
    other.cli(&["CLUSTER", "ADDSLOTS", &slot]);
    let lock = lock(&RedisLockProvider::new(at(server.url())).unwrap(), "name");
    soon("it is granted", lock.acquire()).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_server_with_too_many_connections_is_told_as_that() {
    let server = RedisServer::builder().config("maxclients", "1").start();
    let _one = server.client().get_connection().unwrap();
    let error = told(at(server.url()), &["connecting", "max number of clients", "maxclients is reached"]).await;
    assert!(is_backend(&error), "{error:?}");
}

/// Such a server is as silent as a frozen one. It is told apart before callers give up.
#[tokio::test]
async fn tls_to_a_port_without_it_is_told_as_that() {
    let server = RedisServer::builder().password("secret").start();
    let begun = std::time::Instant::now();
    let url = format!("rediss://:secret@127.0.0.1:{}", server.port());
    let error = told(at(url), &["the TLS handshake was not answered", "redis:// or ssl=false"]).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert!(matches!(error, LockError::Unavailable { .. }), "{error:?}");
}

/// A server that is frozen, or has TLS and is slow, is not taken for one without TLS.
#[tokio::test]
async fn a_silent_server_with_tls_is_told_as_silent() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    server.stop();
    told(trusting(&certificates, server.url()), &["no answer in time"]).await;
    server.resume();

    let proxy = crate::support::Proxy::to(server.port());
    proxy.delay(Duration::from_millis(150));
    let url = proxy.url().replace("redis://", "rediss://");
    let provider = RedisLockProvider::new(trusting(&certificates, url).response_timeout(Duration::from_secs(4)));
    let lock = lock(&provider.unwrap(), "name");
    assert!(soon("it is granted", lock.acquire()).await.is_ok());
}

#[tokio::test]
async fn no_tls_to_a_port_that_wants_it_is_told_as_that() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    told(at(format!("redis://127.0.0.1:{}", server.port())), &["may expect TLS: rediss:// or ssl=true"]).await;
}

fn trusting(certificates: &Certificates, url: impl Into<String>) -> RedisLockOptions {
    at(url).tls_root_certificates(read(certificates.authority()).unwrap())
}

#[tokio::test]
async fn certificates_of_the_server_that_cannot_be_used_are_told_with_the_reason() {
    let certificates = Certificates::new();
    let of = |identity: &Identity| RedisServer::builder().tls_as(&certificates, identity).start();

    let own = certificates.its_own_authority();
    let server = of(&own);
    let options = at(server.url()).tls_root_certificates(read(&own.certificate).unwrap());
    told(options, &["CaUsedAsEndEntity", "certificate is that of an authority"]).await;

    for (identity, parts) in [
        (certificates.version_1(), ["UnsupportedCertVersion", "X.509 version 1; version 3 is needed"]),
        (certificates.expired(), ["certificate expired", "not valid after"]),
        (certificates.wrong_host(), ["not valid for name", "connect by a name that is in the certificate"]),
        (certificates.server_of_other_authority(), ["UnknownIssuer", "tls_root_certificates"]),
    ] {
        let server = of(&identity);
        told(trusting(&certificates, server.url()), &parts).await;
    }
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_or_cannot_be_used_is_told_as_that() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().mutual_tls(&certificates).start();
    told(trusting(&certificates, server.url()), &["CertificateRequired", "tls_client_identity"]).await;

    let Identity { certificate, key } = certificates.version_1();
    let options = trusting(&certificates, server.url());
    let options = options.tls_client_identity(read(certificate).unwrap(), read(key).unwrap());
    let text = RedisLockProvider::new(options).unwrap_err().to_string();
    assert!(text.contains("X.509 version 1") && text.contains("version 3"), "{text}");
}

/// Time-outs of keep-alive probes beyond what systems take are shortened: no connection would be made otherwise.
#[tokio::test]
async fn a_connection_is_made_with_the_longest_keep_alive() {
    let server = RedisServer::start();
    for seconds in [1, 86_400] {
        let provider = provider_at(&format!("127.0.0.1:{},keepAlive={seconds}", server.port()));
        assert!(soon("it is granted", lock(&provider, "name").acquire()).await.is_ok());
    }
}
