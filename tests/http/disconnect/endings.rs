//! Other ends of a handler with `OnDisconnect::Finish`: panics, losses, time-outs, the end of the runtime.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use futures_util::FutureExt;
use http::{Response, StatusCode};
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockOptions, OnDisconnect, OnLost, key};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use super::scene::{NAME, Notice, Scene, happens};
use crate::support::{becomes_free, is_free, serve};
use crate::vanishing::{Client, Way};

fn on_purpose() -> StatusCode {
    panic!("on purpose")
}

#[tokio::test]
async fn a_panic_reaches_the_caller_and_afterwards_frees_the_lock() {
    let scene = Scene::new();
    let panicking = {
        let scene = scene.clone();
        get(move || async move {
            let _gone = Notice(scene.gone.clone());
            scene.begun.add_permits(1);
            happens(&scene.go).await;
            scene.finished.fetch_add(1, SeqCst);
            on_purpose()
        })
    };
    let router = Router::new().route("/", panicking).layer(scene.finishing()).layer(CatchPanicLayer::new());
    let server = scene.serve(router).await;
    scene.go.add_permits(1);
    assert_eq!(server.get("/").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(is_free(&scene.provider, NAME).await, "a caught panic is not carried on");
    happens(&scene.noticed).await;
    happens(&scene.begun).await;
    happens(&scene.gone).await;

    let _rest = scene.vanish(&server, Way::Http2Stream).await;
    assert!(!is_free(&scene.provider, NAME).await);
    scene.go.add_permits(1);
    becomes_free(&scene.provider, NAME).await;
    assert_eq!((scene.finished.load(SeqCst), scene.gone.available_permits()), (2, 1));
}

/// A call that panicked must not be polled again.
#[tokio::test]
async fn a_handler_that_panicked_is_dropped_and_not_carried_on() {
    let (scene, polls) = (Scene::new(), Arc::new(AtomicUsize::new(0)));
    let inner = {
        let polls = polls.clone();
        service_fn(move |_: http::Request<()>| {
            let polls = polls.clone();
            std::future::poll_fn(move |_| -> Poll<Result<Response<String>, Infallible>> {
                polls.fetch_add(1, SeqCst);
                std::panic::resume_unwind(Box::new("on purpose"))
            })
        })
    };
    let request = scene.finishing().layer(inner).oneshot(http::Request::new(()));
    assert!(std::panic::AssertUnwindSafe(request).catch_unwind().await.is_err());
    assert!(is_free(&scene.provider, NAME).await);
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(polls.load(SeqCst), 1);
}

#[tokio::test]
async fn a_loss_ends_a_handler_without_a_client_unless_told_otherwise() {
    let options = LockOptions::default().ttl(Duration::from_millis(200)).auto_renew(false);
    let scene = Scene::new();
    let server = scene.serve(scene.routes().layer(scene.finishing().options(options))).await;
    let _rest = scene.vanish(&server, Way::Http1Close).await;
    happens(&scene.gone).await;
    assert_eq!(scene.finished.load(SeqCst), 0);

    let scene = Scene::new();
    let layer = scene.finishing().options(options).on_lost(OnLost::Continue);
    let server = scene.serve(scene.routes().layer(layer)).await;
    let _rest = scene.vanish(&server, Way::Http1Close).await;
    becomes_free(&scene.provider, NAME).await;
    assert_eq!(scene.gone.available_permits(), 0);
    scene.go.add_permits(1);
    happens(&scene.gone).await;
    assert_eq!(scene.finished.load(SeqCst), 1);
}

#[tokio::test]
async fn a_timeout_outside_the_layer_is_as_a_client_that_leaves() {
    let scene = Scene::new();
    let timeout =
        tower_http::timeout::TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(50));
    let server = serve(scene.routes().layer(scene.finishing()).layer(timeout)).await;
    assert_eq!(server.get("/").await.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(!is_free(&scene.provider, NAME).await);
    scene.go.add_permits(1);
    becomes_free(&scene.provider, NAME).await;
    assert_eq!(scene.finished.load(SeqCst), 1);
}

/// The end of the runtime ends the task.
#[test]
fn a_handler_without_a_client_ends_with_the_runtime() {
    let scene = Scene::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (one, other) = runtime.block_on(async {
        let server = scene.serve(scene.routes().layer(scene.finishing())).await;
        let rest = scene.vanish(&server, Way::Http2Stream).await;
        assert!(!is_free(&scene.provider, NAME).await);
        // A second one, whose client is there when the runtime ends.
        let other = HttpLockLayer::new(scene.provider.clone(), key::constant("other"));
        let server = serve(scene.routes().layer(other.on_disconnect(OnDisconnect::Finish))).await;
        let client = Client::send(server.address(), Way::Http1Close, "/").await;
        happens(&scene.begun).await;
        (rest, client)
    });
    drop(runtime);
    assert_eq!((scene.gone.available_permits(), scene.finished.load(SeqCst)), (2, 0));
    assert!(scene.provider.is_empty());
    drop((one, other));
}

/// A request that is dropped on a thread without a runtime goes on in the runtime of its first poll.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_may_be_dropped_outside_the_runtime() {
    let scene = Scene::new();
    let service = scene.finishing().layer(scene.routes());
    let mut request = Box::pin(service.oneshot(Request::new(Body::empty())));
    assert!(futures_util::poll!(request.as_mut()).is_pending());
    happens(&scene.begun).await;
    std::thread::spawn(move || drop(request)).join().unwrap();
    assert!(!is_free(&scene.provider, NAME).await);
    scene.go.add_permits(1);
    becomes_free(&scene.provider, NAME).await;
    assert_eq!(scene.finished.load(SeqCst), 1);
}

/// Only `on_disconnect` requires `Send`. Without it a service may be `!Send`.
#[tokio::test]
async fn a_layer_that_was_told_nothing_takes_services_of_one_thread() {
    let inner = service_fn(|_: http::Request<()>| {
        let local = std::rc::Rc::new("done");
        async move {
            if local.is_empty() {
                pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new((*local).to_owned()))
        }
    });
    let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::constant(NAME));
    assert_eq!(layer.layer(inner).oneshot(http::Request::new(())).await.unwrap().status(), StatusCode::OK);
}
