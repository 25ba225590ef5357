//! Clients that disconnect while a handler runs: it is dropped, or runs to its end, by the layer's setting.

mod endings;
mod scene;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use bytes::Bytes;
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, OnDisconnect, Resource, key};
use tokio::sync::Semaphore;

use crate::support::{becomes_free, hold, is_free, serve};
use crate::vanishing::{Client, WAYS, Way};
use scene::{NAME, Scene, happens};

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
            // The drop of the request has released the lock, without any waiting.
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
        // The unread body was dropped before the lock.
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

/// Over HTTP/1 a server sees the end of a connection only after all unread bytes. With a layer outside the lock that
/// reads long bodies first, the server notices that a waiting client is gone.
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
    client.write_all(&vec![b'x'; 200_000]).await.unwrap();
    let name = Resource::try_from(NAME).unwrap();
    let waiters = || scene.provider.inspect(&name).map_or(0, |lock| lock.waiters);
    while waiters() == 0 {
        tokio::task::yield_now().await;
    }
    drop(client);
    happens(&scene.noticed).await;
    assert_eq!(waiters(), 0);
}
