//! TLS with good certificates, and each bad one is refused.

use redis::{Client, ClientTlsConfig, TlsCertificates, cmd};

use crate::support::{Certificates, Identity, RedisServer};

fn client(url: &str, authority: &std::path::Path, identity: Option<&Identity>) -> Client {
    let client_tls = identity.map(|identity| ClientTlsConfig {
        client_cert: std::fs::read(&identity.certificate).unwrap(),
        client_key: std::fs::read(&identity.key).unwrap(),
    });
    let root_cert = Some(std::fs::read(authority).unwrap());
    Client::build_with_tls(url, TlsCertificates { client_tls, root_cert }).unwrap()
}

async fn ping(client: &Client) -> Result<String, String> {
    let mut connection = client.get_multiplexed_async_connection().await.map_err(|error| format!("{error:?}"))?;
    cmd("PING").query_async(&mut connection).await.map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn the_good_certificate_is_taken() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    assert!(server.url().starts_with("rediss://"));
    assert_eq!(ping(&server.client()).await.unwrap(), "PONG");
    let by_name = format!("rediss://localhost:{}", server.port());
    assert_eq!(ping(&client(&by_name, &certificates.authority(), None)).await.unwrap(), "PONG");
    server.cli(&["SET", "key", "value"]);
    assert_eq!(server.keys(), ["key"]);

    let plain = Client::open(format!("redis://127.0.0.1:{}", server.port())).unwrap();
    assert!(ping(&plain).await.is_err(), "without TLS");
    let error = ping(&client(&server.url(), &certificates.other_authority(), None)).await.unwrap_err();
    assert!(error.contains("BadSignature") || error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn each_bad_certificate_is_refused_for_its_reason() {
    let certificates = Certificates::new();
    for (identity, reason) in [
        (certificates.expired(), "certificate expired"),
        (certificates.wrong_host(), "not valid for name"),
        (certificates.server_of_other_authority(), "UnknownIssuer"),
    ] {
        let server = RedisServer::builder().tls_as(&certificates, &identity).start();
        let error = ping(&server.client()).await.unwrap_err();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[tokio::test]
async fn a_server_can_ask_for_the_clients_certificate() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().mutual_tls(&certificates).start();
    assert_eq!(ping(&server.client()).await.unwrap(), "PONG");
    let authority = certificates.authority();
    assert!(ping(&client(&server.url(), &authority, None)).await.is_err(), "without one");
    let stranger = certificates.client_of_other_authority();
    assert!(ping(&client(&server.url(), &authority, Some(&stranger))).await.is_err(), "of another authority");
}
