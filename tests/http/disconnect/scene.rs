//! A handler that waits for the test, and its observable events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use bytes::Bytes;
use http_body::Frame;
use orchestrix_locking::{Detachable, HttpLockLayer, InMemoryLockProvider, LockHandle, OnDisconnect, key};
use tokio::sync::Semaphore;

use crate::support::{LIMIT, Server, serve};
use crate::vanishing::{Client, Way};

pub(super) const NAME: &str = "the-lock";

/// The events so far. A test can wait for each.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) provider: InMemoryLockProvider,
    pub(super) begun: Arc<Semaphore>,
    /// Lets the handler end.
    pub(super) go: Arc<Semaphore>,
    /// The handler has ended or was dropped.
    pub(super) gone: Arc<Semaphore>,
    /// The server has dropped the request.
    pub(super) noticed: Arc<Semaphore>,
    pub(super) finished: Arc<AtomicUsize>,
    pub(super) under_lock: Arc<AtomicBool>,
}

impl Scene {
    pub(super) fn new() -> Self {
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

    pub(super) fn layer(&self) -> HttpLockLayer<key::Key> {
        HttpLockLayer::new(self.provider.clone(), key::constant(NAME))
    }

    pub(super) fn finishing(&self) -> HttpLockLayer<key::Key, Detachable> {
        self.layer().on_disconnect(OnDisconnect::Finish)
    }

    /// A handler that waits for the test, and a body that records whether it was dropped under the lock.
    pub(super) fn routes(&self) -> Router {
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

    /// A layer outside the lock that records when the server drops a request.
    pub(super) async fn serve(&self, router: Router) -> Server {
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

    /// A client that has disconnected while the handler runs, and a server that has noticed it.
    pub(super) async fn vanish(&self, server: &Server, way: Way) -> Option<h2::client::SendRequest<Bytes>> {
        let client = Client::send(server.address(), way, "/").await;
        happens(&self.begun).await;
        let rest = client.vanish(way);
        happens(&self.noticed).await;
        rest
    }
}

pub(super) async fn happens(event: &Semaphore) {
    tokio::time::timeout(LIMIT, event.acquire()).await.expect("it does not happen").unwrap().forget();
}

pub(super) struct Notice(pub(super) Arc<Semaphore>);

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
