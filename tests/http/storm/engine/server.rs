//! The server: several layers over the same locks, and a handler of each kind behind each of them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use http::Uri;
use http::request::Parts;
use orchestrix_locking::{DistributedLockProvider, HttpLockLayer, LockError, LockHandle, OnDisconnect, Refusal, key};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{sleep, timeout};
use tower_http::catch_panic::CatchPanicLayer;

use super::Backend;
use super::SETTLED;
use super::ledger::Ledger;

/// Small, so that a slow reader slows the handler down.
pub(super) const SOCKET_BUFFER: u32 = 8 * 1024;
const CHUNK: &[u8] = &[b'x'; 16 * 1024];

pub(super) struct Server {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

pub(super) fn start(provider: &Arc<dyn DistributedLockProvider>, backend: Backend, ledger: &Arc<Ledger>) -> Server {
    let long = Duration::from_secs(10);
    let layer = |wait| layer(provider, backend, ledger, wait);
    let routes = || Router::new().route("/{handler}/{key}/{id}", get(handle)).with_state(ledger.clone());
    let app = Router::new()
        .nest("/hasty", routes().route_layer(layer(Duration::ZERO)))
        .nest("/crowded", routes().route_layer(layer(Duration::from_millis(20)).max_waiters(2)))
        .nest("/patient", routes().route_layer(layer(long)))
        .nest("/finishing", routes().route_layer(layer(long).on_disconnect(OnDisconnect::Finish)))
        .nest("/caught", routes().route_layer(layer(long)).route_layer(CatchPanicLayer::new()))
        .layer(from_fn_with_state(ledger.clone(), note));

    // Accepted sockets inherit the listener's buffer sizes.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(SOCKET_BUFFER).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1024).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    Server { address, stop, serving: tokio::spawn(serving.into_future()) }
}

fn layer(
    provider: &Arc<dyn DistributedLockProvider>,
    backend: Backend,
    ledger: &Arc<Ledger>,
    wait: Duration,
) -> HttpLockLayer<key::Key> {
    let ledger = ledger.clone();
    HttpLockLayer::new(provider.clone(), key::path_param("key").prefixed("storm")).wait(wait).on_refusal(
        move |refusal: &Refusal, request: &Parts| {
            let expected = matches!(
                refusal.error(),
                LockError::Busy { .. } | LockError::TooManyWaiters | LockError::InvalidResource { .. }
            );
            let silent = matches!(refusal.error(), LockError::Unavailable { .. })
                && backend == Backend::Remote
                && (!wait.is_zero() && wait < Duration::from_millis(100));
            assert!(expected || silent, "{}: {:?}", request.uri, refusal.error());
            ledger.refused(id(&request.uri));
            refusal.answer(request)
        },
    )
}

impl Server {
    /// Waits for every connection to end. The clients are gone, so that none has a reason to stay.
    pub(super) async fn stop(self) {
        self.stop.send(()).unwrap();
        timeout(SETTLED, self.serving).await.expect("connections stay open").unwrap().unwrap();
    }
}

/// The outermost layer: records requests and answers.
async fn note(State(ledger): State<Arc<Ledger>>, request: Request, next: Next) -> Response {
    let id = id(request.uri());
    ledger.arrived(id);
    let answer = next.run(request).await;
    ledger.completed(id);
    answer
}

/// The last part of the path.
fn id(uri: &Uri) -> usize {
    uri.path().rsplit('/').next().unwrap().parse().unwrap()
}

async fn handle(
    State(ledger): State<Arc<Ledger>>,
    Path((handler, key, id)): Path<(String, String, usize)>,
    lock: LockHandle,
) -> Response {
    let key = key.strip_prefix("key-").unwrap().parse().unwrap();
    let inside = ledger.enter(id, key, &lock);
    match handler.as_str() {
        "text" => "done".into_response(),
        "work" => {
            for _ in 0..id % 20 {
                yield_now().await;
            }
            if id % 4 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
            "done".into_response()
        }
        "stream" => chunks(4, b"a few words", inside),
        "large" => chunks(8, CHUNK, inside),
        "panic" => {
            yield_now().await;
            // Without the message of a panic for each of thousands.
            resume_unwind(Box::new("on purpose"))
        }
        other => panic!("no handler `{other}`"),
    }
}

/// A body. Its handler counts as inside until the body ends or is dropped.
fn chunks(count: usize, chunk: &'static [u8], inside: super::ledger::Inside) -> Response {
    let frames = stream::unfold((0, inside), move |(sent, inside)| async move {
        yield_now().await;
        (sent < count).then(|| (Ok::<_, Infallible>(Bytes::from_static(chunk)), (sent + 1, inside)))
    });
    Body::from_stream(frames).into_response()
}
