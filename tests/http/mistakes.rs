//! A mistake in the program is answered with 500 without details, and its cause is logged.
#![cfg(feature = "tracing")]

use std::time::Duration;

use axum::body::Body;
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::{Request, Response, StatusCode};
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockError, LockHandle, key};
use tonic::Status;
use tower::ServiceExt;
use tracing::Level;

use crate::log::Log;
use crate::support::Failing;

/// The lines at level ERROR that one request leads to, and its answer.
async fn told(router: Router, request: Request<Body>) -> (Response<Body>, Vec<String>) {
    let (log, subscribed) = Log::of_this_thread(Level::ERROR);
    let answer = router.oneshot(request).await.unwrap();
    drop(subscribed);
    (answer, log.lines(""))
}

fn request(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

fn layer(key: key::Key) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(InMemoryLockProvider::new(), key)
}

/// The one log line of a request that this layer refuses.
async fn line(layer: HttpLockLayer<key::Key>) -> String {
    let router = Router::new().nest("/shop", Router::new().route("/pay", post(async || "done").layer(layer)));
    let (answer, lines) = told(router, request("/shop/pay?secret=1")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = lines.try_into().expect("one line");
    assert!(line.contains("ERROR") && line.contains("by=\"HttpLockLayer\""), "{line}");
    assert!(!line.contains("secret"), "{line}");
    line
}

#[tokio::test]
async fn whatever_is_misconfigured_is_told_with_its_cause_and_the_path() {
    let constant = || key::constant("the-lock");
    for (layer, cause) in [
        (layer(constant()).ttl(Duration::ZERO), "the option ttl is 0ns; allowed: 10ms to 24h"),
        (layer(key::path_param("id")), "the route has no path parameter `id`"),
        (layer(key::extension::<u64>(u64::to_string)), "(of type u64)"),
        (layer(key::header("no header")), "no header can have the name"),
        (layer(key::constant("")), "the constant key is not valid"),
        (layer(key::parts([])), "the key has no parts"),
    ] {
        let line = line(layer).await;
        assert!(line.contains(cause), "{line}");
        assert!(line.contains("method=\"POST\" path=\"/shop/pay\""), "{line}");
    }
}

#[tokio::test]
async fn a_lock_that_two_layers_take_is_told_by_name() {
    let provider = InMemoryLockProvider::new();
    let layer = || HttpLockLayer::new(provider.clone(), key::constant("the-lock"));
    let router = Router::new().route("/pay", post(async || "done").route_layer(layer()).route_layer(layer()));
    let (answer, lines) = told(router, request("/pay")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = lines.try_into().expect("one line");
    assert!(line.contains("path=\"/pay\" resource=\"the-lock\""), "{line}");
    assert!(line.contains("already held by this request"), "{line}");
}

/// By then the request has been passed on, and only the cause is known.
#[tokio::test]
async fn a_mistake_that_the_provider_finds_is_told_too() {
    let error = LockError::invalid_options("ttl", "1h", "what this provider can do");
    let layer = HttpLockLayer::new(Failing(error), key::constant("the-lock"));
    let (answer, lines) = told(Router::new().route("/pay", post(async || "done").layer(layer)), request("/pay")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = lines.try_into().expect("one line");
    assert!(line.contains("the option ttl is 1h"), "{line}");
}

/// An upgrade whose handler keeps no handle.
#[tokio::test]
async fn an_upgrade_that_is_refused_is_told() {
    let upgrade = get(async || (StatusCode::SWITCHING_PROTOCOLS, [("connection", "upgrade"), ("upgrade", "echo")]));
    let router = Router::new().route("/", upgrade.layer(layer(key::constant("the-lock"))));
    let request = Request::get("/").header("connection", "upgrade").header("upgrade", "echo");
    let (answer, lines) = told(router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = lines.try_into().expect("one line");
    assert!(line.contains("kept no LockHandle"), "{line}");
}

#[tokio::test]
async fn a_handler_without_the_layer_that_it_needs_is_told() {
    let router = Router::new().route("/pay", post(async |_: LockHandle| "done"));
    let (answer, lines) = told(Router::new().nest("/shop", router), request("/shop/pay")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = lines.try_into().expect("one line");
    assert!(line.contains("by=\"LockHandle\" method=\"POST\" path=\"/shop/pay\""), "{line}");
    // A handler that takes an `Option<LockHandle>` is no mistake.
    let optional = async |lock: Result<LockHandle, orchestrix_locking::MissingLock>| format!("{}", lock.is_ok());
    let (answer, lines) = told(Router::new().route("/pay", post(optional)), request("/pay")).await;
    assert_eq!((answer.status(), lines), (StatusCode::OK, vec![]));
}

#[tokio::test]
async fn a_handler_that_returns_a_mistake_is_told() {
    let mistaken = async || Err::<String, _>(LockError::invalid_options("ttl", "0ns", "10ms to 24h"));
    let (answer, lines) = told(Router::new().route("/pay", post(mistaken)), request("/pay")).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let [line] = lines.try_into().expect("one line");
    assert!(line.contains("by=\"handler\"") && line.contains("the option ttl is 0ns"), "{line}");
    let status = async || Response::new(Status::from(LockError::NoRuntime).code().to_string());
    let (_, lines) = told(Router::new().route("/pay", post(status)), request("/pay")).await;
    assert_eq!(lines.len(), 1);
}

/// What a client can cause is not logged as a mistake in the program.
#[tokio::test]
async fn a_request_that_is_refused_for_what_it_is_writes_no_error() {
    let router = Router::new()
        .route("/pay", post(async || "done").layer(layer(key::header("x-account"))))
        .route("/held", get(async || Err::<String, _>(LockError::Busy { waited: Duration::ZERO })))
        .layer(Extension(()));
    let (answer, lines) = told(router.clone(), request("/pay")).await;
    assert_eq!((answer.status(), lines), (StatusCode::BAD_REQUEST, vec![]));
    let (answer, lines) = told(router, Request::get("/held").body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status(), lines), (StatusCode::CONFLICT, vec![]));
}
