//! Upgrades that are refused or dropped: the answer, and what the handler's task may do.

use std::future::pending;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::any;
use http::{Response, StatusCode};
use orchestrix_locking::{InMemoryLockProvider, LockOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;

use super::{Keeps, LIMIT, Scene, WAYS, layer};
use crate::support::{is_free, serve};

const CLOSING_SWITCH: &str = "GET / HTTP/1.1\r\nhost: test\r\nconnection: upgrade, close\r\nupgrade: echo\r\n\r\n";
const CLOSING_CONNECT: &str = "CONNECT elsewhere:443 HTTP/1.1\r\nhost: elsewhere:443\r\nconnection: close\r\n\r\n";

impl Scene {
    /// Asks for an upgrade on a connection that the server closes after its answer. Returns all bytes, and how many tasks
    /// were given the connection.
    async fn closing(&self, head: &str) -> (String, usize) {
        let before = self.begun.load(SeqCst);
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        drop(stream.shutdown().await);
        drop(timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("the connection goes on"));
        timeout(LIMIT, self.ended.acquire()).await.expect("the task goes on").unwrap().forget();
        (String::from_utf8_lossy(&answer).into_owned(), self.begun.load(SeqCst) - before)
    }
}

/// Compression stands outside the lock, and collects what it compresses.
#[tokio::test]
async fn a_refused_upgrade_is_told_why_through_a_compressing_layer() {
    let scene = Scene::new(Keeps::Nothing, |router, provider| {
        router.layer(layer(provider)).layer(CompressionLayer::new().gzip(true))
    })
    .await;
    for head in [CLOSING_SWITCH, CLOSING_CONNECT] {
        let head = head.replace("connection:", "accept-encoding: gzip\r\nconnection:");
        let (answer, begun) = scene.closing(&head).await;
        assert!(answer.contains("locking:misconfigured") && answer.ends_with("}\r\n"), "{answer}");
        assert_eq!(begun, 0);
    }
}

#[tokio::test]
async fn a_refused_upgrade_does_not_begin_where_the_program_answers_without_an_error() {
    for status in [100, 101, 200, 204, 304] {
        let scene = Scene::new(Keeps::Nothing, |router, provider| {
            router.layer(layer(provider).on_refusal(move |_, _| {
                let mut answer = Response::new("");
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                answer
            }))
        })
        .await;
        for head in [CLOSING_SWITCH, CLOSING_CONNECT] {
            let (answer, begun) = scene.closing(head).await;
            assert!(answer.starts_with("HTTP/1.1 500"), "{status}: {answer}");
            assert_eq!(begun, 0, "{status}");
        }
        for way in WAYS {
            let (told, _) = scene.ask(way).await.err().expect("refused");
            assert_eq!(told, StatusCode::INTERNAL_SERVER_ERROR, "{status}: {way:?}");
        }
    }
}

#[tokio::test]
async fn a_head_request_upgrades_nothing() {
    let scene = Scene::under_one_lock(Keeps::Nothing).await;
    for connection in ["upgrade, close", "upgrade"] {
        let mut stream = TcpStream::connect(scene.server.address()).await.unwrap();
        let head = format!("HEAD / HTTP/1.1\r\nhost: test\r\nconnection: {connection}\r\nupgrade: echo\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 400");
        stream.shutdown().await.unwrap();
        drop(timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("the connection goes on"));
        assert_eq!((scene.ended.available_permits(), scene.begun.load(SeqCst)), (0, 0), "the handler has not run");
        assert!(is_free(&scene.provider, super::NAME).await);
    }
}

/// Some clients offer the obsolete upgrade to HTTP/2 with every request.
#[tokio::test]
async fn a_client_that_offers_h2c_is_answered_as_any_other() {
    let options = LockOptions::default().max_hold(Some(Duration::from_millis(200)));
    let router = Router::new()
        .route("/", any(|| async { "done" }))
        .route("/slow", any(pending::<()>))
        .layer(layer(&InMemoryLockProvider::new()).options(options));
    let server = serve(router).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    // The loss first: the connection goes on after it.
    for (request, status, ends) in
        [("GET /slow", "500", "}"), ("HEAD /", "200", "\r\n\r\n"), ("GET /", "200", "\r\n\r\ndone")]
    {
        let head = format!(
            "{request} HTTP/1.1\r\nhost: test\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n\
             http2-settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !(answer.contains("\r\n\r\n") && answer.ends_with(ends)) {
            let byte = timeout(LIMIT, stream.read_u8()).await.expect("no answer");
            answer.push(char::from(byte.unwrap_or_else(|error| panic!("{error}: {answer}"))));
        }
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains("content-length: "), "{answer}");
    }
}

/// The end of a request whose handler has spawned its task.
#[derive(Debug, Clone, Copy)]
enum GivenUp {
    Panic,
    TimeOut,
    Replaced,
}

/// A server may hand the connection to the task whatever the answer was. The layer released the lock, so the
/// task sees no loss.
#[tokio::test]
async fn a_task_that_asks_for_its_lock_first_does_not_serve_an_upgrade_that_was_given_up() {
    for given_up in [GivenUp::Panic, GivenUp::TimeOut, GivenUp::Replaced] {
        for (keeps, begins) in [(Keeps::Handle, 1), (Keeps::CheckedHandle, 0)] {
            let scene = Scene::new(keeps, |router, provider| {
                let inside = from_fn(move |request: Request, next: Next| async move {
                    drop(next.run(request).await);
                    match given_up {
                        GivenUp::Panic => panic!("after the task was set going"),
                        GivenUp::TimeOut => pending().await,
                        GivenUp::Replaced => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                    }
                });
                let patience = Duration::from_millis(if matches!(given_up, GivenUp::TimeOut) { 50 } else { 20_000 });
                router
                    .layer(inside)
                    .layer(layer(provider))
                    .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, patience))
                    .layer(CatchPanicLayer::new())
            })
            .await;
            for head in [CLOSING_SWITCH, CLOSING_CONNECT] {
                let (answer, begun) = scene.closing(head).await;
                assert!(answer.starts_with("HTTP/1.1 50"), "{given_up:?}: {answer}");
                assert_eq!(begun, begins, "{given_up:?}, {keeps:?}");
            }
            assert!(is_free(&scene.provider, super::NAME).await);
        }
    }
}
