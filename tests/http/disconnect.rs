//! Clients that go away in the middle of a handler: it is dropped, or runs to its end, as the layer is told.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Response, StatusCode};
use http_body::Frame;
use orchestrix_locking::{
    Detachable, HttpLockLayer, InMemoryLockProvider, LockHandle, LockOptions, OnDisconnect, OnLost, Resource, key,
};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::catch_panic::CatchPanicLayer;

use crate::support::{LIMIT, Server, becomes_free, hold, is_free, serve};
use crate::vanishing::{Client, WAYS, Way};

const NAME: &str = "the-lock";

/// What happened so far, in a form that can be waited for.
#[derive(Clone)]
struct Scene {
    provider: InMemoryLockProvider,
    begun: Arc<Semaphore>,
    /// Lets the handler end.
    go: Arc<Semaphore>,
    /// The handler has ended or was dropped.
    gone: Arc<Semaphore>,
    /// The server has dropped the request.
    noticed: Arc<Semaphore>,
    finished: Arc<AtomicUsize>,
    under_lock: Arc<AtomicBool>,
}

impl Scene {
    fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self {
            provider: InMemoryLockProvider::new(),
            begun: none(),
            go: none(),
            gone: none(),
            noticed: none(),
            finished: Arc::default(),
            under_lock: Arc::default(),
        }
    }

    fn layer(&self) -> HttpLockLayer<key::Key> {
        HttpLockLayer::new(self.provider.clone(), key::constant(NAME))
    }

    fn finishing(&self) -> HttpLockLayer<key::Key, Detachable> {
        self.layer().on_disconnect(OnDisconnect::Finish)
    }

    /// A handler that waits to be let go, and a body that says whether it was dropped under the lock.
    fn routes(&self) -> Router {
        let scene = self.clone();
        Router::new().route(
            "/",
            get(move |lock: Option<LockHandle>| async move {
                let lasting = Lasting { lock: lock.clone(), scene: scene.clone() };
                scene.begun.add_permits(1);
                happens(&scene.go).await;
                scene.finished.fetch_add(1, SeqCst);
                Body::new(lasting)
            }),
        )
    }

    /// Outside the lock, something that tells when the server drops a request.
    async fn serve(&self, router: Router) -> Server {
        let noticed = self.noticed.clone();
        serve(router.layer(from_fn(move |request: Request, next: Next| {
            let notice = Notice(noticed.clone());
            async move {
                let answer = next.run(request).await;
                drop(notice);
                answer
            }
        })))
        .await
    }

    /// A client that is gone while the handler runs, and a server that knows.
    async fn vanish(&self, server: &Server, way: Way) -> Option<h2::client::SendRequest<Bytes>> {
        let client = Client::send(server.address(), way, "/").await;
        happens(&self.begun).await;
        let rest = client.vanish(way);
        happens(&self.noticed).await;
        rest
    }
}

async fn happens(event: &Semaphore) {
    tokio::time::timeout(LIMIT, event.acquire()).await.expect("it does not happen").unwrap().forget();
}

struct Notice(Arc<Semaphore>);

impl Drop for Notice {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

/// Lives from the handler's start to the drop of its response's body, and never shows an end.
struct Lasting {
    lock: Option<LockHandle>,
    scene: Scene,
}

impl http_body::Body for Lasting {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.scene.under_lock.store(self.lock.as_ref().is_some_and(LockHandle::is_held), SeqCst);
        self.scene.gone.add_permits(1);
    }
}

#[tokio::test]
async fn by_default_the_handler_is_dropped_and_then_the_lock_is_freed() {
    for way in WAYS {
        let scene = Scene::new();
        for told in [false, true] {
            let router = if told {
                scene.routes().layer(scene.layer().on_disconnect(OnDisconnect::Cancel))
            } else {
                scene.routes().layer(scene.layer())
            };
            let server = scene.serve(router).await;
            let _rest = scene.vanish(&server, way).await;
            // What the server dropped is gone with its lock, without any waiting.
            assert!(is_free(&scene.provider, NAME).await, "{way:?}");
            happens(&scene.gone).await;
            assert!(scene.under_lock.load(SeqCst), "{way:?}");
            assert_eq!(scene.finished.load(SeqCst), 0);
        }
    }
}

#[tokio::test]
async fn told_to_finish_the_handler_runs_to_its_response_under_the_lock() {
    for way in WAYS {
        let scene = Scene::new();
        let server = scene.serve(scene.routes().layer(scene.finishing())).await;
        let rest = scene.vanish(&server, way).await;
        assert!(!is_free(&scene.provider, NAME).await, "{way:?}");
        assert_eq!((scene.gone.available_permits(), scene.finished.load(SeqCst)), (0, 0));
        scene.go.add_permits(1);
        becomes_free(&scene.provider, NAME).await;
        // The body that nobody read was dropped before the lock was.
        assert_eq!((scene.gone.available_permits(), scene.finished.load(SeqCst)), (1, 1), "{way:?}");
        assert!(scene.under_lock.load(SeqCst), "{way:?}");
        drop(rest);
    }
}

#[tokio::test]
async fn told_to_finish_a_client_that_stays_is_answered_as_ever() {
    let provider = InMemoryLockProvider::new();
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME)).on_disconnect(OnDisconnect::Finish);
    let server = serve(Router::new().route("/", get(|| async { "done" })).layer(layer.wait(Duration::ZERO))).await;
    for _ in 0..20 {
        assert_eq!(server.get("/").await.body, "done");
    }
    assert!(provider.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_while_its_body_is_sent_ends_it_also_when_told_to_finish() {
    for way in WAYS {
        let scene = Scene::new();
        let server = scene.serve(scene.routes().layer(scene.finishing())).await;
        let client = Client::send(server.address(), way, "/").await;
        scene.go.add_permits(1);
        // The response has been passed on; its body has no end.
        happens(&scene.noticed).await;
        assert!(!is_free(&scene.provider, NAME).await);
        let _rest = client.vanish(way);
        becomes_free(&scene.provider, NAME).await;
        assert_eq!(scene.gone.available_permits(), 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_gives_up_its_place() {
    for way in WAYS {
        let scene = Scene::new();
        let guard = hold(&scene.provider, NAME).await;
        let server = scene.serve(scene.routes().layer(scene.finishing())).await;
        let client = Client::send(server.address(), way, "/").await;
        let name = Resource::try_from(NAME).unwrap();
        let waiters = || scene.provider.inspect(&name).map_or(0, |lock| lock.waiters);
        while waiters() == 0 {
            tokio::task::yield_now().await;
        }
        let _rest = client.vanish(way);
        happens(&scene.noticed).await;
        assert_eq!(waiters(), 0, "{way:?}");
        drop(guard);
        assert!(scene.provider.is_empty());
        assert_eq!(scene.begun.available_permits(), 0);
    }
}

#[tokio::test]
async fn a_request_without_a_lock_ends_with_its_client() {
    let scene = Scene::new();
    let layer = HttpLockLayer::new(scene.provider.clone(), |_: &Request| None::<String>);
    let server = scene.serve(scene.routes().layer(layer.on_disconnect(OnDisconnect::Finish))).await;
    let _rest = scene.vanish(&server, Way::Http1Close).await;
    assert_eq!(scene.gone.available_permits(), 1);
}

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

/// What panicked must not be polled again, by nobody.
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

#[tokio::test]
async fn what_is_left_of_the_request_body_cannot_be_read_without_the_client() {
    use tokio::io::AsyncWriteExt;

    let (read, begun) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (read, begun) = (read.clone(), begun.clone());
        get(move |body: Body| async move {
            begun.add_permits(1);
            assert!(axum::body::to_bytes(body, 1 << 20).await.is_err());
            read.add_permits(1);
        })
    };
    let provider = InMemoryLockProvider::new();
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME)).on_disconnect(OnDisconnect::Finish);
    let server = serve(Router::new().route("/", handler).layer(layer)).await;
    let mut client = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nsome").await.unwrap();
    happens(&begun).await;
    drop(client);
    happens(&read).await;
    becomes_free(&provider, NAME).await;
}

/// The end of the runtime is the end of what goes on in it.
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

/// Dropped on a thread without a runtime, the request goes on in the one it came from.
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

/// Only `on_disconnect` asks for `Send`: services of one thread keep theirs without it.
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

/// Over HTTP/1 a server finds the end of a connection behind what has not been read of it. A layer outside the lock that
/// reads long bodies first lets the server see a client leave that waits.
#[tokio::test]
async fn a_client_that_waits_with_a_long_body_is_missed_once_the_body_is_read() {
    use tokio::io::AsyncWriteExt;

    async fn read_first(request: Request, next: Next) -> axum::response::Response {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        next.run(Request::from_parts(head, Body::from(body))).await
    }

    let scene = Scene::new();
    let _guard = hold(&scene.provider, NAME).await;
    let router = Router::new().route("/", axum::routing::post(|_: Bytes| async {}));
    let server = scene.serve(router.layer(scene.layer()).layer(from_fn(read_first))).await;
    let mut client = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 200000\r\n\r\n").await.unwrap();
    client.write_all(&[b'x'; 200_000]).await.unwrap();
    let name = Resource::try_from(NAME).unwrap();
    let waiters = || scene.provider.inspect(&name).map_or(0, |lock| lock.waiters);
    while waiters() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    happens(&scene.noticed).await;
    assert_eq!(waiters(), 0);
}
