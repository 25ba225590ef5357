//! How long a request holds its lock, as clients see it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{StatusCode, Version};
use http_body_util::BodyExt;
use orchestrix_locking::{HoldUntil, HttpLockLayer, InMemoryLockProvider, LockOptions, Locking, key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use crate::support::{Server, becomes_free, is_free, serve};

const NAME: &str = "the-lock";

fn layer(provider: &InMemoryLockProvider) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(Duration::ZERO)
}

/// Answers with one frame, and with the last one after `go`.
async fn streaming(layer: HttpLockLayer<key::Key>, go: Arc<Semaphore>) -> Server {
    let handler = move || {
        let go = go.clone();
        async move {
            let frames = stream::unfold(0, move |count| {
                let go = go.clone();
                async move {
                    match count {
                        0 => Some((Ok::<_, Infallible>(Bytes::from_static(b"first ")), 1)),
                        1 => {
                            go.acquire().await.unwrap().forget();
                            Some((Ok(Bytes::from_static(b"last")), 2))
                        }
                        _ => None,
                    }
                }
            });
            Body::from_stream(frames)
        }
    };
    serve(Router::new().route("/", get(handler)).layer(layer)).await
}

#[tokio::test]
async fn a_streamed_answer_is_produced_under_the_lock() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
        let server = streaming(layer(&provider), go.clone()).await;
        let request = || server.request("GET", "/").body(Body::empty()).unwrap();
        let mut first = server.start(version, request()).await;
        assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "first ");
        assert_eq!(server.send(version, request()).await.status, StatusCode::CONFLICT);
        go.add_permits(2);
        assert_eq!(first.collect().await.unwrap().to_bytes(), "last");
        assert!(is_free(&provider, NAME).await);
        assert_eq!(server.send(version, request()).await.body, "first last");
    }
}

#[tokio::test]
async fn a_waiting_request_begins_after_the_last_byte_of_the_one_before() {
    let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
    let locking = Locking::builder().add_provider("web", provider.clone()).add_in_memory_locking().build().unwrap();
    let layer = locking.named("web").unwrap().http_layer(key::constant(NAME));
    let server = streaming(layer, go.clone()).await;
    let request = || server.request("GET", "/").body(Body::empty()).unwrap();
    let first = server.start(Version::HTTP_11, request()).await;
    let second = server.send(Version::HTTP_11, request());
    let finish_first = async {
        let name = NAME.try_into().unwrap();
        while provider.inspect(&name).is_none_or(|lock| lock.waiters == 0) {
            tokio::task::yield_now().await;
        }
        let token = provider.inspect(&name).unwrap().fencing_token;
        go.add_permits(1);
        assert_eq!(first.collect().await.unwrap().to_bytes(), "first last");
        // The lock has been handed over. The second request ends only when the test lets it.
        assert!(provider.inspect(&name).is_some_and(|lock| lock.fencing_token > token));
        go.add_permits(1);
    };
    assert_eq!(tokio::join!(second, finish_first).0.body, "first last");
}

#[tokio::test]
async fn hold_until_response_frees_the_lock_before_the_body() {
    let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
    let server = streaming(layer(&provider).hold_until(HoldUntil::Response), go.clone()).await;
    let first = server.start(Version::HTTP_11, server.request("GET", "/").body(Body::empty()).unwrap()).await;
    assert!(is_free(&provider, NAME).await);
    go.add_permits(1);
    assert_eq!(first.collect().await.unwrap().to_bytes(), "first last");
}

#[tokio::test]
async fn a_client_with_its_whole_answer_finds_the_lock_free() {
    let provider = InMemoryLockProvider::new();
    let announced = || async {
        let frames = stream::iter(["one", "two"]).map(|text| Ok::<_, Infallible>(Bytes::from_static(text.as_bytes())));
        http::Response::builder().header("content-length", "6").body(Body::from_stream(frames)).unwrap()
    };
    let router = Router::new()
        .route("/text", get(|| async { "text" }))
        .route("/empty", get(|| async {}))
        .route("/none", get(|| async { StatusCode::NO_CONTENT }))
        .route("/announced", get(announced));
    let server = serve(router.layer(layer(&provider))).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for method in ["GET", "HEAD"] {
            for path in ["/text", "/empty", "/none", "/announced"] {
                for _ in 0..20 {
                    let answer = server.send(version, server.request(method, path).body(Body::empty()).unwrap()).await;
                    assert!(answer.status.is_success(), "{version:?} {method} {path}: {answer:?}");
                }
            }
        }
    }
    assert!(provider.is_empty());
}

#[tokio::test]
async fn a_client_that_goes_away_frees_the_lock() {
    let (provider, begun) = (InMemoryLockProvider::new(), Arc::new(Notify::new()));
    let stuck = {
        let begun = begun.clone();
        get(move || async move {
            begun.notify_one();
            pending::<&'static str>().await
        })
    };
    let server = serve(Router::new().route("/", stuck).layer(layer(&provider))).await;
    let mut client = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    begun.notified().await;
    assert!(!is_free(&provider, NAME).await);
    drop(client);
    becomes_free(&provider, NAME).await;

    // In the middle of the body.
    let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
    let server = streaming(layer(&provider), go).await;
    let mut client = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"first \r\n") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
    }
    assert!(!is_free(&provider, NAME).await);
    drop(client);
    becomes_free(&provider, NAME).await;
}

#[tokio::test]
async fn a_panicking_handler_frees_the_lock() {
    async fn handler() -> &'static str {
        panic!("on purpose")
    }
    let provider = InMemoryLockProvider::new();
    let router = Router::new().route("/", get(handler)).layer(layer(&provider)).layer(CatchPanicLayer::new());
    let server = serve(router).await;
    for _ in 0..2 {
        assert_eq!(server.get("/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(is_free(&provider, NAME).await);
    }
}

#[tokio::test]
async fn a_loss_ends_a_streamed_answer_with_an_error() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let provider = InMemoryLockProvider::new();
        let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
        let server = streaming(layer(&provider).options(options), Arc::new(Semaphore::new(0))).await;
        let answer = server.start(version, server.request("GET", "/").body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.collect().await.is_err());
        assert!(is_free(&provider, NAME).await);
    }
}
