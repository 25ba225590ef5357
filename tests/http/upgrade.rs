//! Upgraded connections: 101 over HTTP/1, CONNECT over both versions, and the lock of each until its end.

mod refused;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use orchestrix_locking::{
    DistributedLockProvider, HoldUntil, HttpLockLayer, InMemoryLockProvider, LockHandle, LockOptions, OnDisconnect, key,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::support::{LIMIT, Server, becomes_free, is_free, serve};

const NAME: &str = "the-lock";

fn layer(provider: &InMemoryLockProvider) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(Duration::ZERO)
}

// ---- The server ----------------------------------------------------------------------------------------------

/// What the task of the upgraded connection keeps of the request.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    Handle,
    /// The handle. The task checks it once it has the connection, as the documentation advises.
    CheckedHandle,
    WholeRequest,
    /// Only the loss signal.
    Lost,
    Nothing,
}

/// Accepts every upgrade. The connection answers each byte with `h` while its lock is held, and ends with the lock.
fn upgrade(keeps: Keeps, ended: Arc<Semaphore>, begun: Arc<AtomicUsize>, mut request: Request) -> Response {
    let lock = request.extensions().get::<LockHandle>().cloned().unwrap();
    let upgrading = hyper::upgrade::on(&mut request);
    let connect = request.method() == Method::CONNECT;
    let lost = matches!(keeps, Keeps::Handle | Keeps::Lost).then(|| lock.lost());
    // A loss signal does not keep the lock.
    tokio::spawn(lock.lost());
    let lock = matches!(keeps, Keeps::Handle | Keeps::CheckedHandle).then_some(lock);
    let request = matches!(keeps, Keeps::WholeRequest).then_some(request);
    let serving = async move {
        let Ok(upgraded) = upgrading.await else { return };
        if matches!(keeps, Keeps::CheckedHandle) && lock.as_ref().is_none_or(|lock| !lock.is_held()) {
            return;
        }
        begun.fetch_add(1, SeqCst);
        let mut connection = TokioIo::new(upgraded);
        let handle = |request: &Request| request.extensions().get::<LockHandle>().cloned();
        while connection.read_u8().await.is_ok() {
            let lock = lock.clone().or_else(|| request.as_ref().and_then(handle));
            let told = if lock.is_none_or(|lock| lock.is_held()) { b'h' } else { b'f' };
            if connection.write_u8(told).await.is_err() {
                break;
            }
        }
    };
    tokio::spawn(async move {
        match lost {
            Some(lost) => drop(futures_util::future::select(pin!(serving), lost).await),
            None => serving.await,
        }
        ended.add_permits(1);
    });
    let response = Response::builder();
    let response = if connect {
        response.status(StatusCode::OK)
    } else {
        response.status(StatusCode::SWITCHING_PROTOCOLS).header("connection", "upgrade").header("upgrade", "echo")
    };
    response.body(Body::empty()).unwrap()
}

struct Scene {
    provider: InMemoryLockProvider,
    /// Counts the finished tasks of upgraded connections.
    ended: Arc<Semaphore>,
    /// Counts the connections that such a task was given.
    begun: Arc<AtomicUsize>,
    server: Server,
}

impl Scene {
    async fn new(keeps: Keeps, layers: impl FnOnce(Router, &InMemoryLockProvider) -> Router) -> Self {
        let (provider, ended) = (InMemoryLockProvider::new(), Arc::new(Semaphore::new(0)));
        let begun = Arc::new(AtomicUsize::new(0));
        let handler = {
            let (ended, begun) = (ended.clone(), begun.clone());
            any(move |request: Request| async move { upgrade(keeps, ended, begun, request) })
        };
        // A CONNECT has no path, and so no route.
        let router = Router::new().route("/", handler.clone()).fallback_service(handler);
        let server = serve(layers(router, &provider)).await;
        Self { provider, ended, begun, server }
    }

    async fn under_one_lock(keeps: Keeps) -> Self {
        Self::new(keeps, |router, provider| router.layer(layer(provider))).await
    }

    async fn ask(&self, way: Way) -> Result<Connection, (StatusCode, String)> {
        timeout(LIMIT, ask(self.server.address(), way)).await.expect("the answer takes too long")
    }
}

// ---- The client ----------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Copy)]
enum Way {
    /// HTTP/1.1, `Upgrade` and 101.
    Switch,
    /// HTTP/1.1, CONNECT and 200.
    Connect,
    /// HTTP/2, CONNECT and 200.
    Connect2,
    /// HTTP/2, the extended CONNECT of web sockets.
    ExtendedConnect,
}

const WAYS: [Way; 4] = [Way::Switch, Way::Connect, Way::Connect2, Way::ExtendedConnect];

enum Connection {
    Http1(TcpStream),
    Http2 { send: h2::SendStream<Bytes>, receive: h2::RecvStream, _sender: h2::client::SendRequest<Bytes> },
}

async fn ask(address: SocketAddr, way: Way) -> Result<Connection, (StatusCode, String)> {
    let head = match way {
        Way::Switch => "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
        Way::Connect => "CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere:443\r\n\r\n",
        Way::Connect2 | Way::ExtendedConnect => return ask_over_http2(address, way).await,
    };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("\r\n\r\n") {
        answer.push(char::from(stream.read_u8().await.unwrap()));
    }
    let status: StatusCode = answer.split(' ').nth(1).unwrap().parse().unwrap();
    if status.is_informational() || status.is_success() {
        return Ok(Connection::Http1(stream));
    }
    let mut body = Vec::new();
    match answer.lines().find_map(|line| line.strip_prefix("content-length: ")) {
        Some(length) => {
            body.resize(length.parse().unwrap(), 0);
            stream.read_exact(&mut body).await.unwrap();
        }
        // To the end of the connection, which ends with an error.
        None => drop(stream.read_to_end(&mut body).await),
    }
    Err((status, String::from_utf8(body).unwrap()))
}

async fn ask_over_http2(address: SocketAddr, way: Way) -> Result<Connection, (StatusCode, String)> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(Method::CONNECT);
    if let Way::ExtendedConnect = way {
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        request = request.uri(format!("http://{address}/")).extension(h2::ext::Protocol::from_static("websocket"));
    } else {
        request = request.uri("elsewhere:443");
    }
    let (answer, send) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    let (head, mut receive) = answer.await.unwrap().into_parts();
    if head.status.is_success() {
        return Ok(Connection::Http2 { send, receive, _sender: sender });
    }
    let mut body = Vec::new();
    while let Some(data) = receive.data().await {
        body.extend_from_slice(&data.unwrap());
    }
    Err((head.status, String::from_utf8(body).unwrap()))
}

impl Connection {
    /// Whether the handler's task answers that its lock is held. `None` if the connection has ended.
    async fn is_held(&mut self) -> Option<bool> {
        let told = match self {
            Self::Http1(stream) => {
                stream.write_u8(b'?').await.ok()?;
                timeout(LIMIT, stream.read_u8()).await.expect("no answer on the connection").ok()?
            }
            Self::Http2 { send, receive, .. } => {
                send.send_data(Bytes::from_static(b"?"), false).ok()?;
                let told = timeout(LIMIT, receive.data()).await.expect("no answer on the connection");
                *told?.ok()?.first()?
            }
        };
        Some(told == b'h')
    }
}

// ---- Tests ---------------------------------------------------------------------------------------------------

#[tokio::test]
async fn an_upgraded_connection_holds_its_lock_until_it_ends() {
    for keeps in [Keeps::Handle, Keeps::CheckedHandle, Keeps::WholeRequest] {
        let scene = Scene::under_one_lock(keeps).await;
        for way in WAYS {
            let mut first = scene.ask(way).await.unwrap_or_else(|refused| panic!("{way:?}, {keeps:?}: {refused:?}"));
            assert_eq!(first.is_held().await, Some(true), "{way:?}, {keeps:?}");
            let (status, _) = scene.ask(way).await.err().expect("two at once under one lock");
            assert_eq!(status, StatusCode::CONFLICT, "{way:?}, {keeps:?}");
            assert_eq!(first.is_held().await, Some(true), "{way:?}, {keeps:?}");
            drop(first);
            becomes_free(&scene.provider, NAME).await;
        }
    }
}

#[tokio::test]
async fn an_upgrade_that_would_go_on_without_its_lock_is_refused() {
    for (keeps, finishes) in [(Keeps::Nothing, false), (Keeps::Nothing, true), (Keeps::Lost, false)] {
        let scene = Scene::new(keeps, |router, provider| {
            if finishes {
                router.layer(layer(provider).on_disconnect(OnDisconnect::Finish))
            } else {
                router.layer(layer(provider))
            }
        })
        .await;
        for way in WAYS {
            let (status, body) = scene.ask(way).await.err().expect("refused");
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{way:?}");
            assert!(body.contains("urn:orchestrix:locking:misconfigured"), "{way:?}: {body}");
            assert!(body.contains("LockHandle") && body.contains("HoldUntil::Response"), "{way:?}: {body}");
            assert!(is_free(&scene.provider, NAME).await, "{way:?}");
            // The handler's task ends as well.
            timeout(LIMIT, scene.ended.acquire())
                .await
                .unwrap_or_else(|_| panic!("{way:?}: the task goes on"))
                .unwrap()
                .forget();
            assert_eq!(scene.begun.load(SeqCst), 0, "{way:?}");
        }
    }
}

/// Servers hand a connection over when they have finished with it, whatever the answer was.
#[tokio::test]
async fn a_refused_upgrade_does_not_begin_when_its_client_closes_the_connection() {
    for loses in [false, true] {
        let scene = Scene::new(Keeps::Nothing, |router, provider| {
            // Lost before the handler answers, and after its task was spawned.
            let slowly = from_fn(move |request: Request, next: Next| async move {
                let answer = next.run(request).await;
                if loses {
                    std::future::pending::<()>().await;
                }
                answer
            });
            let options = LockOptions::default().max_hold(loses.then_some(Duration::from_millis(50)));
            router.layer(slowly).layer(layer(provider).options(options))
        })
        .await;
        for head in [
            "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, close\r\nupgrade: echo\r\n\r\n",
            "CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere:443\r\nconnection: close\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(scene.server.address()).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut answer = vec![0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, b"HTTP/1.1 500");
            // The task would answer this.
            drop(stream.write_all(b"?").await);
            drop(timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("the connection goes on"));
            let answer = String::from_utf8(answer).unwrap();
            let name = if loses { "locking:lost" } else { "locking:misconfigured" };
            assert!(answer.contains(name) && answer.ends_with("}\r\n"), "{answer}");
            timeout(LIMIT, scene.ended.acquire()).await.expect("the task goes on").unwrap().forget();
            assert_eq!(scene.begun.load(SeqCst), 0);
        }
    }
}

#[tokio::test]
async fn told_to_hold_until_the_response_an_upgrade_is_passed_on_without_the_lock() {
    for keeps in [Keeps::Handle, Keeps::Nothing] {
        let hold = |router: Router, provider: &_| router.layer(layer(provider).hold_until(HoldUntil::Response));
        let scene = Scene::new(keeps, hold).await;
        for way in WAYS {
            let mut first = scene.ask(way).await.unwrap_or_else(|refused| panic!("{way:?}: {refused:?}"));
            assert!(is_free(&scene.provider, NAME).await, "{way:?}");
            assert_eq!(first.is_held().await, Some(matches!(keeps, Keeps::Nothing)), "{way:?}");
        }
    }
}

#[tokio::test]
async fn two_layers_both_hold_until_the_upgraded_connection_ends() {
    let scene = Scene::new(Keeps::Handle, |router, provider| {
        let outer = HttpLockLayer::new(provider.clone(), key::constant("outer")).wait(Duration::ZERO);
        router.layer(layer(provider)).layer(outer)
    })
    .await;
    for way in WAYS {
        let mut connection = scene.ask(way).await.unwrap_or_else(|refused| panic!("{way:?}: {refused:?}"));
        assert_eq!(connection.is_held().await, Some(true), "{way:?}");
        for name in [NAME, "outer"] {
            assert!(!is_free(&scene.provider, name).await, "{way:?}: {name}");
        }
        drop(connection);
        for name in [NAME, "outer"] {
            becomes_free(&scene.provider, name).await;
        }
    }
}

#[tokio::test]
async fn an_outer_layer_holds_though_the_inner_one_frees_its_lock_with_the_head() {
    let scene = Scene::new(Keeps::Handle, |router, provider| {
        let outer = HttpLockLayer::new(provider.clone(), key::constant("outer")).wait(Duration::ZERO);
        router.layer(layer(provider).hold_until(HoldUntil::Response)).layer(outer)
    })
    .await;
    let connection = scene.ask(Way::Switch).await.unwrap_or_else(|refused| panic!("{refused:?}"));
    assert!(is_free(&scene.provider, NAME).await && !is_free(&scene.provider, "outer").await);
    drop(connection);
    becomes_free(&scene.provider, "outer").await;
}

#[tokio::test]
async fn the_task_of_an_upgraded_connection_hears_of_a_loss() {
    for way in WAYS {
        let scene = Scene::under_one_lock(Keeps::Handle).await;
        let mut connection = scene.ask(way).await.unwrap_or_else(|refused| panic!("{way:?}: {refused:?}"));
        assert_eq!(connection.is_held().await, Some(true), "{way:?}");
        scene.provider.close().await;
        let ended = async {
            while connection.is_held().await == Some(true) {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, ended).await.expect("the task ends with its lock");
    }
}

#[tokio::test]
async fn max_hold_bounds_an_upgraded_connection() {
    let options = LockOptions::default().max_hold(Some(Duration::from_millis(200)));
    let scene = Scene::new(Keeps::Handle, |router, provider| router.layer(layer(provider).options(options))).await;
    let mut connection = scene.ask(Way::Switch).await.unwrap_or_else(|refused| panic!("{refused:?}"));
    assert_eq!(connection.is_held().await, Some(true));
    becomes_free(&scene.provider, NAME).await;
}

#[tokio::test]
async fn a_request_whose_upgrade_is_declined_is_held_as_any_other() {
    let provider = InMemoryLockProvider::new();
    // The handle outlives the answer, for example in a task that only logs.
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let handler = {
        let kept = kept.clone();
        any(move |lock: LockHandle| async move {
            kept.lock().unwrap().push(lock);
            (StatusCode::UPGRADE_REQUIRED, "no")
        })
    };
    let router = Router::new().route("/", handler.clone()).fallback_service(handler).layer(layer(&provider));
    let server = serve(router).await;
    for way in WAYS {
        let (status, body) = timeout(LIMIT, ask(server.address(), way)).await.unwrap().err().expect("declined");
        assert_eq!((status, body.as_str()), (StatusCode::UPGRADE_REQUIRED, "no"), "{way:?}");
        assert!(is_free(&provider, NAME).await, "{way:?}");
    }
    assert_eq!(kept.lock().unwrap().len(), WAYS.len());
}

#[tokio::test]
async fn a_switch_of_protocols_that_the_client_did_not_ask_for_is_refused() {
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let handler = {
        let kept = kept.clone();
        any(move |lock: LockHandle| async move {
            kept.lock().unwrap().push(lock);
            StatusCode::SWITCHING_PROTOCOLS
        })
    };
    let provider = InMemoryLockProvider::new();
    let server = serve(Router::new().route("/", handler).layer(layer(&provider))).await;
    assert_eq!(server.get("/").await.json()["type"], "urn:orchestrix:locking:misconfigured");
    assert!(is_free(&provider, NAME).await);
}
