//! Every row of the refusal table, over HTTP/1 and HTTP/2.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Response, StatusCode, Version};
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockError, LockHandle, LockOptions, OnLost, Refusal,
    key,
};

use crate::support::{Failing, Server, hold, serve};

const NAME: &str = "the-lock";

async fn server(provider: impl DistributedLockProvider, with: impl Fn(Layer) -> Layer) -> Server {
    let layer = with(HttpLockLayer::new(provider, key::constant(NAME)));
    serve(Router::new().route("/", get(|| async { "done" })).layer(layer)).await
}

type Layer = HttpLockLayer<key::Key>;

async fn expect(server: &Server, status: u16, name: &str, retry_after: Option<&str>) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let request = server.request("GET", "/").body(Body::empty()).unwrap();
        let answer = server.send(version, request).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("retry-after"), retry_after);
        assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
        let json = answer.json();
        assert_eq!(json["type"], format!("urn:orchestrix:locking:{name}"));
        assert_eq!(json["status"], status);
        assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()));
        let detail = json["detail"].as_str().unwrap();
        assert!(!detail.contains(NAME) && !detail.contains("10.0.0.7"), "{detail}");
    }
}

#[tokio::test]
async fn held_without_a_wait_is_409() {
    let provider = InMemoryLockProvider::new();
    let server = server(provider.clone(), |layer| layer.wait(Duration::ZERO)).await;
    let _guard = hold(&provider, NAME).await;
    expect(&server, 409, "held", None).await;
}

#[tokio::test]
async fn held_for_the_whole_wait_is_503() {
    let provider = InMemoryLockProvider::new();
    let server = server(provider.clone(), |layer| layer.wait(Duration::from_millis(20))).await;
    let _guard = hold(&provider, NAME).await;
    expect(&server, 503, "busy", Some("1")).await;
}

#[tokio::test]
async fn too_many_waiters_is_429() {
    let provider = InMemoryLockProvider::new();
    let server = server(provider.clone(), |layer| layer.max_waiters(0)).await;
    let _guard = hold(&provider, NAME).await;
    expect(&server, 429, "too-many-waiters", Some("1")).await;
}

#[tokio::test]
async fn too_many_waiters_in_total_is_429() {
    let provider = InMemoryLockProvider::new().max_waiters_in_total(0);
    let server = server(provider.clone(), |layer| layer).await;
    let _guard = hold(&provider, NAME).await;
    expect(&server, 429, "too-many-waiters", Some("1")).await;
}

#[tokio::test]
async fn a_backend_that_is_down_is_503_and_not_described() {
    let server_down = server(Failing(LockError::unavailable("10.0.0.7:6379 refused")), |layer| layer).await;
    expect(&server_down, 503, "unavailable", Some("1")).await;
    let failing = server(Failing(LockError::backend("10.0.0.7:6379 is out of memory")), |layer| layer).await;
    expect(&failing, 503, "unavailable", Some("1")).await;
}

#[tokio::test]
async fn a_closed_provider_is_503() {
    let provider = InMemoryLockProvider::new();
    let server = server(provider.clone(), |layer| layer).await;
    provider.close().await;
    expect(&server, 503, "closed", Some("1")).await;
}

#[tokio::test]
async fn options_out_of_range_are_500() {
    let server = server(InMemoryLockProvider::new(), |layer| layer.ttl(Duration::ZERO)).await;
    expect(&server, 500, "misconfigured", None).await;
}

#[tokio::test]
async fn a_lock_lost_while_the_handler_runs_is_500() {
    let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::constant(NAME))
        .options(LockOptions::default().ttl(Duration::from_millis(20)).auto_renew(false));
    let stuck = get(|| async { std::future::pending::<&'static str>().await });
    expect(&serve(Router::new().route("/", stuck).layer(layer)).await, 500, "lost", None).await;
}

#[tokio::test]
async fn a_lost_lock_lets_the_handler_end_if_it_is_told_to_continue() {
    let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::constant(NAME))
        .options(LockOptions::default().ttl(Duration::from_millis(20)).auto_renew(false))
        .on_lost(OnLost::Continue);
    let after_loss = get(|lock: LockHandle| async move {
        lock.lost().await;
        "done"
    });
    let answer = serve(Router::new().route("/", after_loss).layer(layer)).await.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "done"));
}

#[tokio::test]
async fn on_refusal_writes_the_answer_and_sees_the_request() {
    let provider = InMemoryLockProvider::new();
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(Duration::ZERO).on_refusal(
        |refusal: &Refusal, request: &http::request::Parts| {
            assert!(matches!(refusal.error(), LockError::Busy { .. }));
            assert_eq!((refusal.status(), refusal.retry_after()), (StatusCode::CONFLICT, None));
            Response::builder()
                .status(StatusCode::LOCKED)
                .header("x-own", "1")
                .body(request.uri.path().to_owned())
                .unwrap()
        },
    );
    let server = serve(Router::new().route("/a", get(|| async { "done" })).layer(layer)).await;
    let guard = hold(&provider, NAME).await;
    let answer = server.get("/a").await;
    assert_eq!((answer.status, answer.body.as_str(), answer.header("x-own")), (StatusCode::LOCKED, "/a", Some("1")));
    drop(guard);
    assert_eq!(server.get("/a").await.body, "done");
}

#[tokio::test]
async fn on_refusal_may_change_the_status_alone() {
    let provider = InMemoryLockProvider::new();
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(Duration::ZERO).on_refusal(
        |refusal: &Refusal, request: &http::request::Parts| match refusal.error() {
            LockError::Busy { .. } => refusal.with_status(StatusCode::LOCKED).answer(request),
            _ => refusal.answer(request),
        },
    );
    let server = serve(Router::new().route("/", get(|| async { "done" })).layer(layer)).await;
    let _guard = hold(&provider, NAME).await;
    expect(&server, 423, "held", None).await;
    let call = server.request("GET", "/").header("content-type", "application/grpc").body(Body::empty()).unwrap();
    let answer = server.send(Version::HTTP_2, call).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::OK, Some("10")));
    provider.close().await;
    expect(&server, 503, "closed", Some("1")).await;
}
