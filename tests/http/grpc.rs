//! Refused gRPC calls, as raw HTTP/2 requests, and tonic's router.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use http::{Request, Response, StatusCode, Version};
use orchestrix_locking::{DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockError, LockOptions, key};
use tonic::server::NamedService;
use tower::{Layer, Service};

use crate::support::{Answer, Failing, Server, hold, serve};

const NAME: &str = "the-lock";

#[derive(Clone)]
struct Echo;

impl NamedService for Echo {
    const NAME: &'static str = "test.Echo";
}

impl Service<Request<tonic::body::Body>> for Echo {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        std::future::ready(Ok(tonic::Status::already_exists("served").into_http()))
    }
}

async fn server(
    provider: impl DistributedLockProvider,
    with: impl Fn(HttpLockLayer<key::Key>) -> HttpLockLayer<key::Key>,
) -> Server {
    let layer = with(HttpLockLayer::new(provider, key::constant(NAME)));
    serve(tonic::service::Routes::new(layer.layer(Echo)).into_axum_router()).await
}

async fn call(server: &Server, content_type: &str, timeout: Option<&str>) -> Answer {
    let mut request = server.request("POST", "/test.Echo/Say").header("content-type", content_type);
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    server.send(Version::HTTP_2, request.body(Body::empty()).unwrap()).await
}

fn assert_refused(answer: &Answer, content_type: &str, status: &str) {
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some(content_type));
    assert_eq!(answer.header("grpc-status"), Some(status), "{answer:?}");
    assert!(answer.header("grpc-message").is_some_and(|message| !message.is_empty() && !message.contains(NAME)));
    assert!(answer.header("retry-after").is_none() && answer.body.is_empty());
}

#[tokio::test]
async fn a_free_lock_lets_the_call_through() {
    let answer = call(&server(InMemoryLockProvider::new(), |layer| layer).await, "application/grpc", None).await;
    assert_eq!(answer.header("grpc-status"), Some("6"));
}

#[tokio::test]
async fn refusals_are_trailers_only_statuses() {
    let provider = InMemoryLockProvider::new();
    let _guard = hold(&provider, NAME).await;
    let at_once = server(provider.clone(), |layer| layer.wait(Duration::ZERO)).await;
    for content_type in
        ["application/grpc", "application/grpc+proto", "application/grpc-web", "application/grpc-web-text"]
    {
        assert_refused(&call(&at_once, content_type, None).await, content_type, "10");
    }
    let waited = server(provider.clone(), |layer| layer.wait(Duration::from_millis(20))).await;
    assert_refused(&call(&waited, "application/grpc", None).await, "application/grpc", "14");
    let crowded = server(provider.clone(), |layer| layer.max_waiters(0)).await;
    assert_refused(&call(&crowded, "application/grpc", None).await, "application/grpc", "8");
    let down = server(Failing(LockError::unavailable("down")), |layer| layer).await;
    assert_refused(&call(&down, "application/grpc", None).await, "application/grpc", "14");
    let mistaken = server(provider.clone(), |layer| layer.ttl(Duration::ZERO)).await;
    assert_refused(&call(&mistaken, "application/grpc", None).await, "application/grpc", "13");
    provider.close().await;
    assert_refused(&call(&waited, "application/grpc", None).await, "application/grpc", "14");
}

#[tokio::test]
async fn the_clients_timeout_ends_the_wait_as_unavailable() {
    let provider = InMemoryLockProvider::new();
    let _guard = hold(&provider, NAME).await;
    let server = server(provider, |layer| layer.wait(Duration::from_secs(600))).await;
    let started = Instant::now();
    for timeout in ["30m", "0n"] {
        assert_refused(&call(&server, "application/grpc", Some(timeout)).await, "application/grpc", "14");
    }
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_bad_key_is_invalid_argument_and_a_loss_internal() {
    let stuck = post(|| async { std::future::pending::<&'static str>().await });
    let no_key = HttpLockLayer::new(InMemoryLockProvider::new(), key::header("x-account"));
    let lost = HttpLockLayer::new(InMemoryLockProvider::new(), key::constant(NAME))
        .options(LockOptions::default().ttl(Duration::from_millis(20)).auto_renew(false));
    for (router, status) in [
        (Router::new().route("/test.Echo/Say", stuck.clone().layer(no_key)), "3"),
        (Router::new().route("/test.Echo/Say", stuck.layer(lost)), "13"),
    ] {
        assert_refused(&call(&serve(router).await, "application/grpc", None).await, "application/grpc", status);
    }
}
