//! Two layers on one path.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::{get, post};
use http::{StatusCode, Version};
use orchestrix_locking::{
    Attached, HttpLockLayer, InMemoryLockProvider, LockHandle, LockOptions, Locking, OnLost, key,
};

use crate::support::{Answer, hold, serve};

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(600);

type Layer = HttpLockLayer<key::Key, Attached>;

fn layer(provider: &InMemoryLockProvider, name: &str) -> Layer {
    HttpLockLayer::new(provider.clone(), key::constant(name)).wait(LONG)
}

/// The answer to a request through these layers, the outermost first.
async fn through(layers: impl IntoIterator<Item = Layer, IntoIter: DoubleEndedIterator>) -> Answer {
    let handler = get(async |lock: LockHandle| lock.resource().to_string());
    let router = layers.into_iter().rev().fold(Router::new().route("/", handler), Router::layer);
    serve(router).await.get("/").await
}

fn assert_told(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
    let json = answer.json();
    assert_eq!(json["type"], "urn:orchestrix:locking:already-held");
    assert!(json["detail"].as_str().unwrap().contains("already held by this request"));
    assert_eq!(answer.header("retry-after"), None);
}

#[tokio::test]
async fn a_second_layer_for_one_lock_is_refused_at_once_and_not_after_the_wait() {
    let provider = InMemoryLockProvider::new();
    assert_told(&through([layer(&provider, "a"), layer(&provider, "a")]).await);
    assert!(provider.is_empty(), "the outer layer's lock is free again");
    let locking = Locking::builder().add_default_provider(provider.clone()).build().unwrap();
    let registered = || locking.http_layer(key::constant("a")).wait(LONG);
    assert_told(&through([registered(), registered()]).await);
}

#[tokio::test]
async fn a_lock_of_any_layer_outside_is_found() {
    let provider = InMemoryLockProvider::new();
    let layers = |names: [&str; 4]| names.map(|name| layer(&provider, name));
    assert_told(&through(layers(["a", "b", "c", "a"])).await);
    assert_told(&through(layers(["c", "a", "b", "a"])).await);
    let answer = through(layers(["a", "b", "c", "d"])).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "d"));
}

/// A request that asks for an upgrade has a handle that keeps the lock.
#[tokio::test]
async fn a_lock_of_a_layer_outside_is_found_for_an_upgrade_too() {
    let provider = InMemoryLockProvider::new();
    for names in [["a", "a", "b"], ["a", "b", "a"], ["b", "a", "a"]] {
        let layers = names.map(|name| layer(&provider, name));
        let router = layers.into_iter().rev().fold(Router::new().route("/", get(async || "done")), Router::layer);
        let server = serve(router).await;
        let request = server.request("GET", "/").header("connection", "upgrade").header("upgrade", "echo");
        assert_told(&server.send(Version::HTTP_11, request.body(Body::empty()).unwrap()).await);
    }
}

#[tokio::test]
async fn a_grpc_call_that_holds_its_lock_already_is_internal() {
    let provider = InMemoryLockProvider::new();
    let router = Router::new()
        .route("/test.Echo/Say", post(async || "done"))
        .layer(layer(&provider, "a"))
        .layer(layer(&provider, "a"));
    let server = serve(router).await;
    let call = server.request("POST", "/test.Echo/Say").header("content-type", "application/grpc");
    let answer = server.send(Version::HTTP_2, call.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::OK, Some("13")));
    assert!(answer.header("grpc-message").unwrap().contains("already held by this request"));
}

#[tokio::test]
async fn a_lock_of_the_same_name_in_another_provider_is_another_lock() {
    let (one, other) = (InMemoryLockProvider::new(), InMemoryLockProvider::new());
    let answer = through([layer(&one, "a"), layer(&other, "a")]).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "a"));
}

/// A handle of a lock that was released or lost does not count as held.
#[tokio::test]
async fn a_lock_that_is_held_no_more_is_taken_anew() {
    let provider = InMemoryLockProvider::new();
    let released = hold(&provider, "a").await;
    let handle = released.handle();
    released.release().await.unwrap();
    let old_handle = from_fn(move |mut request: Request, next: Next| {
        request.extensions_mut().insert(handle.clone());
        next.run(request)
    });
    let router = Router::new().route("/", get(async || "done")).layer(layer(&provider, "a")).layer(old_handle);
    assert_eq!(serve(router).await.get("/").await.status, StatusCode::OK);

    let lost = from_fn(async |request: Request, next: Next| {
        request.extensions().get::<LockHandle>().unwrap().lost().await;
        next.run(request).await
    });
    let short = layer(&provider, "a")
        .options(LockOptions::default().ttl(Duration::from_millis(20)).auto_renew(false))
        .on_lost(OnLost::Continue);
    let router = Router::new().route("/", get(async || "done")).layer(layer(&provider, "a")).layer(lost).layer(short);
    assert_eq!(serve(router).await.get("/").await.status, StatusCode::OK);
}
