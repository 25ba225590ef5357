//! `Send`, `Sync` and `'static` of the HTTP layer's types, checked by the compiler.

use std::convert::Infallible;

use axum::body::Body;
use http::{Request, Response};
use orchestrix_locking::key::{self, Key, KeyError};
use orchestrix_locking::{
    Attached, Detachable, HoldUntil, HttpLockLayer, HttpLockService, InMemoryLockProvider, LockBody, MissingLock,
    OnDisconnect, Refusal,
};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, service_fn};

type Inner = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send + 'static>() {}
fn value_is_sent<T: Send>(_: &T) {}

#[test]
fn types_of_the_http_layer_can_be_sent_and_shared() {
    shared::<HttpLockLayer<Key>>();
    shared::<HttpLockLayer<Key, Detachable>>();
    shared::<HttpLockService<Inner, Key>>();
    shared::<HttpLockService<Inner, Key, Detachable>>();
    shared::<Key>();
    shared::<KeyError>();
    shared::<MissingLock>();
    shared::<HoldUntil>();
    shared::<OnDisconnect>();
    shared::<Attached>();
    shared::<Detachable>();
    shared::<Refusal>();
    // Bodies are `Send`. axum's are not `Sync`.
    sent::<LockBody<Body>>();
}

#[tokio::test]
async fn answers_under_a_lock_can_be_sent() {
    let inner: Inner =
        BoxCloneSyncService::new(service_fn(|_: Request<Body>| async { Ok(Response::new(Body::empty())) }));
    let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::path());
    let mut detached = layer.clone().on_disconnect(OnDisconnect::Finish).layer(inner.clone());
    let mut attached = layer.layer(inner);
    value_is_sent(&detached.call(Request::new(Body::empty())));
    value_is_sent(&attached.call(Request::new(Body::empty())));
}
