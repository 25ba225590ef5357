//! The layer among other layers, outside and inside of each.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::error_handling::HandleErrorLayer;
use axum::extract::Request;
use axum::routing::{any, get, post};
use axum::{BoxError, Router};
use futures_util::{StreamExt, stream};
use http::{Method, Response, StatusCode, Version};
use http_body_util::BodyExt;
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockError, LockHandle, LockLayer, key,
};
use tokio::sync::Semaphore;
use tower::ServiceBuilder;
use tower::timeout::error::Elapsed;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};
use tower_http::trace::TraceLayer;

use crate::support::{Answer, Server, hold, is_free, serve};

const NAME: &str = "the-lock";
const BRIEFLY: Duration = Duration::from_millis(50);

fn layer(provider: &InMemoryLockProvider) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(provider.clone(), key::constant(NAME))
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, BRIEFLY)
}

/// Never answers.
fn stuck() -> Router {
    Router::new().route("/", get(|| async { std::future::pending::<&'static str>().await }))
}

fn done() -> Router {
    Router::new().route("/", get(|| async { "done" }))
}

// ---- trace ---------------------------------------------------------------------------------------------------

/// Records the status of each response that the trace layer sees, and each failure.
macro_rules! trace {
    ($seen:expr) => {{
        let (responses, failures) = ($seen.clone(), $seen.clone());
        TraceLayer::new_for_http()
            .on_response(move |response: &Response<_>, _: Duration, _: &tracing::Span| {
                responses.lock().unwrap().push(response.status().as_u16().to_string());
            })
            .on_failure(
                move |failure: tower_http::classify::ServerErrorsFailureClass, _: Duration, _: &tracing::Span| {
                    failures.lock().unwrap().push(format!("failed: {failure}"));
                },
            )
    }};
}

#[tokio::test]
async fn trace_outside_sees_refusals_too() {
    let (provider, seen) = (InMemoryLockProvider::new(), Arc::new(Mutex::new(Vec::new())));
    let server = serve(done().layer(layer(&provider).wait(BRIEFLY)).layer(trace!(seen))).await;
    assert_eq!(server.get("/").await.status, StatusCode::OK);
    let _guard = hold(&provider, NAME).await;
    assert_eq!(server.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(*seen.lock().unwrap(), ["200", "503", "failed: Status code: 503 Service Unavailable"]);
}

#[tokio::test]
async fn trace_inside_sees_the_requests_that_ran() {
    let (provider, seen) = (InMemoryLockProvider::new(), Arc::new(Mutex::new(Vec::new())));
    let server = serve(done().layer(trace!(seen)).layer(layer(&provider).wait(Duration::ZERO))).await;
    let guard = hold(&provider, NAME).await;
    assert_eq!(server.get("/").await.status, StatusCode::CONFLICT);
    guard.release().await.unwrap();
    assert_eq!(server.get("/").await.body, "done");
    assert_eq!(*seen.lock().unwrap(), ["200"]);
}

// ---- timeout -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn timeout_outside_bounds_the_wait_and_the_work() {
    let provider = InMemoryLockProvider::new();
    let server = serve(stuck().layer(layer(&provider)).layer(timeout())).await;
    assert_eq!(server.get("/").await.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(provider.is_empty(), "the handler is dropped and its lock freed");
    let _guard = hold(&provider, NAME).await;
    assert_eq!(server.get("/").await.status, StatusCode::GATEWAY_TIMEOUT);
    let waiters = provider.inspect(&NAME.try_into().unwrap()).unwrap().waiters;
    assert_eq!(waiters, 0, "the place in the queue is given up");
}

#[tokio::test]
async fn timeout_inside_bounds_the_work_alone() {
    let provider = InMemoryLockProvider::new();
    let server = serve(stuck().layer(timeout()).layer(layer(&provider).wait(4 * BRIEFLY))).await;
    assert_eq!(server.get("/").await.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(is_free(&provider, NAME).await);
    let _guard = hold(&provider, NAME).await;
    let begun = std::time::Instant::now();
    assert_eq!(server.get("/").await.json()["type"], "urn:orchestrix:locking:busy");
    assert!(begun.elapsed() >= 4 * BRIEFLY, "the wait is the layer's own");
}

// ---- compression ---------------------------------------------------------------------------------------------

/// A streamed answer whose second half waits for the test.
fn halves(go: &Arc<Semaphore>) -> Router {
    let go = go.clone();
    let handler = move || async move {
        let frames = stream::unfold(0, move |count| {
            let go = go.clone();
            async move {
                if count == 1 {
                    go.acquire().await.unwrap().forget();
                }
                // Numbers, which do not compress well.
                let text: String =
                    (0..20_000_u32).filter_map(|number| char::from_digit(number * 7919 % 10_007 % 10, 10)).collect();
                (count < 2).then(|| (Ok::<_, Infallible>(Bytes::from(text)), count + 1))
            }
        });
        Response::builder().header("content-type", "text/plain").body(Body::from_stream(frames.fuse())).unwrap()
    };
    Router::new().route("/", get(handler))
}

async fn compressed_to_the_end_under_the_lock(server: Server, provider: InMemoryLockProvider, go: &Semaphore) {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let request = server.request("GET", "/").header("accept-encoding", "gzip").body(Body::empty()).unwrap();
        let answer = server.start(version, request).await;
        assert_eq!(answer.headers()["content-encoding"], "gzip");
        let mut body = answer.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first[..2], [0x1f, 0x8b]);
        assert!(!is_free(&provider, NAME).await, "{version:?}: half of it is to come");
        go.add_permits(1);
        assert!(!body.collect().await.unwrap().to_bytes().is_empty());
        assert!(is_free(&provider, NAME).await, "{version:?}: the client has its whole answer");
    }
}

#[tokio::test]
async fn compression_outside_ends_after_the_lock() {
    let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
    let server = serve(halves(&go).layer(layer(&provider)).layer(CompressionLayer::new())).await;
    compressed_to_the_end_under_the_lock(server, provider, &go).await;
}

#[tokio::test]
async fn compression_inside_is_done_under_the_lock() {
    let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
    let server = serve(halves(&go).layer(CompressionLayer::new()).layer(layer(&provider))).await;
    compressed_to_the_end_under_the_lock(server, provider, &go).await;
}

// ---- catch-panic ---------------------------------------------------------------------------------------------

fn panicking() -> Router {
    async fn handler(lock: LockHandle) -> &'static str {
        assert!(!lock.is_held(), "on purpose");
        "unreachable"
    }
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn catch_panic_outside_answers_once_the_lock_is_free() {
    let provider = InMemoryLockProvider::new();
    let server = serve(panicking().layer(layer(&provider).wait(Duration::ZERO)).layer(CatchPanicLayer::new())).await;
    for _ in 0..5 {
        assert_eq!(server.get("/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(is_free(&provider, NAME).await);
    }
}

#[tokio::test]
async fn catch_panic_inside_makes_an_answer_like_any_other() {
    let provider = InMemoryLockProvider::new();
    let server = serve(panicking().layer(CatchPanicLayer::new()).layer(layer(&provider).wait(Duration::ZERO))).await;
    for _ in 0..5 {
        assert_eq!(server.get("/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(is_free(&provider, NAME).await);
    }
}

// ---- errors --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn handle_error_outside_answers_what_a_generic_layer_refuses() {
    let provider = InMemoryLockProvider::new();
    let refused = |error: BoxError| async move {
        match error.downcast_ref() {
            Some(LockError::Busy { .. }) => (StatusCode::LOCKED, "another caller holds it"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "no idea"),
        }
    };
    let generic = LockLayer::new(provider.clone(), |_: &Request| NAME).wait(Duration::ZERO);
    let layers = ServiceBuilder::new().layer(HandleErrorLayer::new(refused)).layer(generic);
    let server = serve(done().layer(layers)).await;
    assert_eq!(server.get("/").await.body, "done");
    let _guard = hold(&provider, NAME).await;
    let answer = server.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::LOCKED, "another caller holds it"));
    provider.close().await;
    assert_eq!(server.get("/").await.body, "no idea");
}

#[tokio::test]
async fn handle_error_inside_answers_under_the_lock() {
    let provider = InMemoryLockProvider::new();
    let failed = |lock: LockHandle, error: BoxError| async move {
        assert!(error.is::<Elapsed>());
        (StatusCode::GATEWAY_TIMEOUT, format!("under {}", lock.resource()))
    };
    let layers = ServiceBuilder::new()
        .layer(layer(&provider))
        .layer(HandleErrorLayer::new(failed))
        .layer(tower::timeout::TimeoutLayer::new(BRIEFLY));
    let server = serve(stuck().layer(layers)).await;
    let answer = server.get("/").await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::GATEWAY_TIMEOUT, "under the-lock"));
    assert!(is_free(&provider, NAME).await);
}

// ---- CORS ----------------------------------------------------------------------------------------------------

const PAGE: &str = "https://page.example";

fn cors() -> CorsLayer {
    CorsLayer::new().allow_origin([PAGE.parse().unwrap()]).allow_methods([Method::POST])
}

/// A request that a browser sends for a page.
async fn browser(server: &Server, method: &str) -> Answer {
    let mut request = server.request(method, "/").header("origin", PAGE);
    if method == "OPTIONS" {
        request = request.header("access-control-request-method", "POST");
    }
    server.send(Version::HTTP_11, request.body(Body::empty()).unwrap()).await
}

fn readable(answer: &Answer) -> bool {
    answer.header("access-control-allow-origin") == Some(PAGE)
}

#[tokio::test]
async fn cors_outside_answers_preflights_without_the_lock_and_lets_pages_read_refusals() {
    let work = || async { "done" };
    for whole_router in [true, false] {
        let provider = InMemoryLockProvider::new();
        let locked = layer(&provider).wait(Duration::ZERO);
        let router = if whole_router {
            Router::new().route("/", post(work)).layer(locked)
        } else {
            Router::new().route("/", post(work).route_layer(locked))
        };
        let server = serve(router.layer(cors())).await;
        let _guard = hold(&provider, NAME).await;
        let preflight = browser(&server, "OPTIONS").await;
        assert_eq!((preflight.status, readable(&preflight)), (StatusCode::OK, true));
        let refused = browser(&server, "POST").await;
        assert_eq!((refused.status, readable(&refused)), (StatusCode::CONFLICT, true));
        assert_eq!(refused.json()["type"], "urn:orchestrix:locking:held");
    }
}

#[tokio::test]
async fn cors_inside_makes_preflights_wait_and_refusals_unreadable() {
    let provider = InMemoryLockProvider::new();
    let server = serve(done().layer(cors()).layer(layer(&provider).wait(BRIEFLY))).await;
    let preflight = browser(&server, "OPTIONS").await;
    assert_eq!((preflight.status, readable(&preflight)), (StatusCode::OK, true));
    let _guard = hold(&provider, NAME).await;
    for method in ["OPTIONS", "POST"] {
        let begun = std::time::Instant::now();
        let refused = browser(&server, method).await;
        assert_eq!((refused.status, readable(&refused)), (StatusCode::SERVICE_UNAVAILABLE, false), "{method}");
        assert!(begun.elapsed() >= BRIEFLY, "{method}");
    }
}

/// Any client can send a preflight. If it needed no lock, a client could call a handler for all methods without one.
#[tokio::test]
async fn a_request_in_the_shape_of_a_preflight_does_not_run_beside_the_holder() {
    let provider = InMemoryLockProvider::new();
    let router = Router::new().route("/", any(|lock: LockHandle| async move { lock.is_held().to_string() }));
    let server = serve(router.layer(layer(&provider).wait(Duration::ZERO))).await;
    assert_eq!(browser(&server, "OPTIONS").await.body, "true");
    let _guard = hold(&provider, NAME).await;
    assert_eq!(browser(&server, "OPTIONS").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_closure_lets_preflights_pass_where_cors_has_to_be_inside() {
    let provider = InMemoryLockProvider::new();
    let key = |request: &Request| (request.method() != Method::OPTIONS).then_some(NAME);
    let locked = HttpLockLayer::new(provider.clone(), key).wait(Duration::ZERO);
    let server = serve(done().layer(cors()).layer(locked)).await;
    let _guard = hold(&provider, NAME).await;
    let preflight = browser(&server, "OPTIONS").await;
    assert_eq!((preflight.status, readable(&preflight)), (StatusCode::OK, true));
    assert_eq!(browser(&server, "GET").await.status, StatusCode::CONFLICT);
}

// ---- all of them ---------------------------------------------------------------------------------------------

/// The order that `docs/middleware.md` recommends.
#[tokio::test]
async fn all_of_them_in_the_recommended_order() {
    let (provider, seen) = (InMemoryLockProvider::new(), Arc::new(Mutex::new(Vec::new())));
    let layers = ServiceBuilder::new()
        .layer(trace!(seen))
        .layer(cors())
        .layer(CompressionLayer::new())
        .layer(CatchPanicLayer::new())
        .layer(layer(&provider).wait(BRIEFLY))
        .layer(timeout())
        .layer(RequestBodyTimeoutLayer::new(BRIEFLY));
    let server = serve(
        done()
            .merge(Router::new().nest("/stuck", stuck()))
            .merge(Router::new().nest("/panic", panicking()))
            .layer(layers),
    )
    .await;
    for (path, status) in [("/", 200), ("/stuck", 504), ("/panic", 500), ("/", 200)] {
        assert_eq!(server.get(path).await.status.as_u16(), status, "{path}");
        assert!(provider.is_empty(), "{path}");
    }
    let _guard = hold(&provider, NAME).await;
    let refused = browser(&server, "GET").await;
    assert_eq!((&refused.json()["type"], readable(&refused)), (&"urn:orchestrix:locking:busy".into(), true));
    assert_eq!(browser(&server, "OPTIONS").await.status, StatusCode::OK);
    let statuses: Vec<_> = seen.lock().unwrap().iter().filter(|it| !it.starts_with("failed")).cloned().collect();
    assert_eq!(statuses, ["200", "504", "500", "200", "503", "200"]);
}
