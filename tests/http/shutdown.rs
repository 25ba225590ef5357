//! Server shutdown: running requests, waiting requests, and endless streams.

#[path = "../../examples/support/shutdown.rs"]
mod example;

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::StreamExt;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use orchestrix_locking::{BoxError, InMemoryLockProvider, Locking, Resource, key};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::LIMIT;

/// The time that the example gives requests to end by themselves.
const GRACE: Duration = Duration::from_millis(400);

struct Scene {
    provider: InMemoryLockProvider,
    locking: Locking,
    router: Router,
    /// Lets `/work` end.
    go: Arc<Semaphore>,
}

impl Scene {
    fn new() -> Self {
        let (provider, go) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
        let locking = Locking::builder().add_provider("web", provider.clone()).add_in_memory_locking().build().unwrap();
        let endless = || async {
            let one = futures_util::stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"event")) });
            Body::from_stream(one.chain(futures_util::stream::once(pending())))
        };
        let work = {
            let go = go.clone();
            move || async move {
                go.acquire().await.unwrap().forget();
                "done"
            }
        };
        let layer = locking.named("web").unwrap().http_layer(key::path());
        let router = Router::new()
            .route("/stream", get(endless))
            .route("/work", get(work))
            .route_layer(layer)
            .route("/unlocked", get(endless));
        Self { provider, locking, router, go }
    }

    async fn until(&self, name: &str, waiters: usize) {
        let name = Resource::try_from(name).unwrap();
        let wait = async {
            while self.provider.inspect(&name).is_none_or(|lock| lock.waiters < waiters) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, wait).await.expect("the request is under way");
    }

    /// As the example serves.
    async fn serve(&self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (router, locking) = (self.router.clone(), self.locking.clone());
        let ended = tokio::spawn(async move {
            example::serve_until(listener, router, &locking, GRACE, async { drop(stopped.await) }).await
        });
        Server { address, client: Client::builder(TokioExecutor::new()).build_http(), stop, ended }
    }
}

struct Server {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), BoxError>>,
}

impl Server {
    fn get(&self, path: &str) -> JoinHandle<http::Response<Incoming>> {
        let request = Request::get(format!("http://{}{path}", self.address)).body(Body::empty()).unwrap();
        let client = self.client.clone();
        tokio::spawn(async move { timeout(LIMIT, client.request(request)).await.expect("no answer").unwrap() })
    }

    /// Starts a stream, and reads its first event.
    async fn stream(&self, path: &str) -> Incoming {
        let mut events = self.get(path).await.unwrap().into_body();
        assert_eq!(events.frame().await.unwrap().unwrap().into_data().unwrap(), "event");
        events
    }
}

async fn ended(server: JoinHandle<Result<(), BoxError>>) {
    timeout(LIMIT, server).await.expect("the server goes on").unwrap().unwrap();
}

#[tokio::test]
async fn requests_under_way_are_answered_and_then_endless_streams_end() {
    let scene = Scene::new();
    let server = scene.serve().await;
    let events = server.stream("/stream").await;
    let first = server.get("/work");
    scene.until("/work", 0).await;
    let second = server.get("/work");
    scene.until("/work", 1).await;

    let Server { stop, ended: serving, .. } = server;
    let stopped = Instant::now();
    drop(stop);
    scene.go.add_permits(2);
    for answer in [first, second] {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "done");
    }
    assert!(timeout(LIMIT, events.collect()).await.expect("the stream goes on").is_err(), "cut off, and not whole");
    assert!(stopped.elapsed() >= GRACE, "the stream had its time too");
    ended(serving).await;
    assert!(scene.provider.is_empty());
}

#[tokio::test]
async fn a_server_without_endless_requests_ends_as_soon_as_they_are_done() {
    let scene = Scene::new();
    let server = scene.serve().await;
    let answer = server.get("/work");
    scene.until("/work", 0).await;
    drop(server.stop);
    scene.go.add_permits(1);
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    let done = Instant::now();
    ended(server.ended).await;
    assert!(done.elapsed() < GRACE);
    assert!(matches!(scene.locking.lock("any").unwrap().acquire().await, Err(orchestrix_locking::LockError::Closed)));
}

#[tokio::test]
async fn a_request_that_waits_for_an_endless_stream_is_answered_when_the_locks_are_closed() {
    let scene = Scene::new();
    let server = scene.serve().await;
    let events = server.stream("/stream").await;
    let waiting = server.get("/stream");
    scene.until("/stream", 1).await;
    drop(server.stop);
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let problem = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&problem).contains("urn:orchestrix:locking:closed"));
    assert!(events.collect().await.is_err());
    ended(server.ended).await;
}

/// Without `close` the shutdown does not end: it waits for every response, and a stream is one.
#[tokio::test]
async fn a_graceful_shutdown_that_closes_the_locks_at_its_end_waits_for_an_endless_stream() {
    let scene = Scene::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, scene.router.clone()).with_graceful_shutdown(async { drop(stopped.await) });
    let ending = tokio::spawn(async move { Ok(serving.await?) });
    let mut server =
        Server { address, client: Client::builder(TokioExecutor::new()).build_http(), stop, ended: ending };
    let events = server.stream("/stream").await;
    drop(server.stop);
    assert!(timeout(GRACE, &mut server.ended).await.is_err());
    scene.locking.close().await;
    assert!(events.collect().await.is_err());
    ended(server.ended).await;
}

/// Closing the locks does not end a request without a lock: the example gives it some seconds more, and then returns.
#[tokio::test]
async fn an_endless_stream_without_a_lock_does_not_keep_the_server_either() {
    let scene = Scene::new();
    let server = scene.serve().await;
    let _events = server.stream("/unlocked").await;
    drop(server.stop);
    ended(server.ended).await;
}
