//! Many requests on one HTTP/2 connection, some of which wait for locks: the resources that they share, and what
//! to do.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::StatusCode;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, Resource, key};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::{LIMIT, hold, serve};

/// Long enough for an answer over loopback that is not blocked.
const A_WHILE: Duration = Duration::from_millis(400);
/// hyper's window, of one stream and of a whole connection.
const WINDOW: usize = 1024 * 1024;
/// How many concurrent streams hyper accepts on one connection.
const STREAMS: usize = 200;

/// The path is the lock; a handler reads the whole body.
fn locked(provider: &InMemoryLockProvider, wait: Duration) -> Router {
    let handler = any(|body: Bytes| async move { body.len().to_string() });
    let layer = HttpLockLayer::new(provider.clone(), key::path()).wait(wait);
    Router::new().route("/{key}", handler).layer(axum::extract::DefaultBodyLimit::disable()).route_layer(layer)
}

async fn connect(address: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = h2::client::Builder::new().handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends as much of a request as the window allows. The connection gets the whole body.
async fn send(client: &SendRequest<Bytes>, path: &str, body: usize) -> ResponseFuture {
    let mut client = client.clone().ready().await.unwrap();
    let request = http::Request::post(format!("http://test{path}")).body(()).unwrap();
    let (answer, mut stream) = client.send_request(request, body == 0).unwrap();
    if body > 0 {
        stream.send_data(Bytes::from(vec![b'x'; body]), true).unwrap();
    }
    answer
}

async fn status(answer: ResponseFuture) -> StatusCode {
    timeout(LIMIT, answer).await.expect("no answer").unwrap().status()
}

async fn waiters(provider: &InMemoryLockProvider, name: &str, count: usize) {
    let name = Resource::try_from(name).unwrap();
    let wait = async {
        while provider.inspect(&name).map_or(0, |lock| lock.waiters) < count {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, wait).await.expect("the requests wait for their lock");
}

#[tokio::test]
async fn a_waiting_request_with_a_long_unread_body_holds_up_the_bodies_of_its_connection() {
    let provider = InMemoryLockProvider::new();
    let server = serve(locked(&provider, LIMIT)).await;
    let guard = hold(&provider, "/a").await;
    let client = connect(server.address()).await;
    let waiting = send(&client, "/a", WINDOW).await;
    waiters(&provider, "/a", 1).await;
    // Without a body there is nothing to wait for, and another connection has a window of its own.
    assert_eq!(status(send(&client, "/b", 0).await).await, StatusCode::OK);
    assert_eq!(status(send(&connect(server.address()).await, "/b", 1).await).await, StatusCode::OK);
    let mut other = send(&client, "/b", 1).await;
    assert!(timeout(A_WHILE, &mut other).await.is_err(), "its one byte finds no room on the connection");
    drop(guard);
    assert_eq!(status(other).await, StatusCode::OK);
    assert_eq!(status(waiting).await, StatusCode::OK);
}

#[tokio::test]
async fn a_waiting_request_with_a_long_unread_body_holds_up_the_holder_that_still_sends() {
    let provider = InMemoryLockProvider::new();
    let server = serve(locked(&provider, 2 * A_WHILE)).await;
    let client = connect(server.address()).await;
    let request = http::Request::post("http://test/a").body(()).unwrap();
    let (mut holder, mut rest) = client.clone().ready().await.unwrap().send_request(request, false).unwrap();
    rest.send_data(Bytes::from_static(b"some"), false).unwrap();
    let name = Resource::try_from("/a").unwrap();
    while provider.inspect(&name).is_none() {
        tokio::task::yield_now().await;
    }
    let waiting = send(&client, "/a", WINDOW).await;
    waiters(&provider, "/a", 1).await;
    rest.send_data(Bytes::from_static(b"rest"), true).unwrap();
    assert!(timeout(A_WHILE, &mut holder).await.is_err(), "the holder waits for the waiter");
    assert_eq!(status(waiting).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(status(holder).await, StatusCode::OK);
}

#[tokio::test]
async fn as_many_waiting_requests_as_a_connection_has_streams_hold_up_the_next_one() {
    let provider = InMemoryLockProvider::new();
    let server = serve(locked(&provider, LIMIT)).await;
    let guard = hold(&provider, "/a").await;
    let client = connect(server.address()).await;
    let mut waiting = Vec::new();
    for _ in 0..STREAMS {
        waiting.push(send(&client, "/a", 0).await);
    }
    waiters(&provider, "/a", STREAMS).await;
    let next = client.clone();
    let mut next = tokio::spawn(async move { status(send(&next, "/b", 0).await).await });
    assert!(timeout(A_WHILE, &mut next).await.is_err(), "no stream is left");
    drop(guard);
    assert_eq!(next.await.unwrap(), StatusCode::OK);
    for answer in waiting {
        assert_eq!(status(answer).await, StatusCode::OK);
    }
}

// ---- What to do -----------------------------------------------------------------------------------------------

/// As `docs/middleware.md` shows it, with another bound.
async fn read_first(request: Request, next: Next) -> Result<Response, StatusCode> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, WINDOW).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    Ok(next.run(Request::from_parts(head, Body::from(body))).await)
}

#[tokio::test]
async fn bodies_that_are_read_outside_the_lock_hold_up_nothing() {
    let provider = InMemoryLockProvider::new();
    let server = serve(locked(&provider, LIMIT).layer(from_fn(read_first))).await;
    let guard = hold(&provider, "/a").await;
    let client = connect(server.address()).await;
    let waiting = send(&client, "/a", WINDOW).await;
    waiters(&provider, "/a", 1).await;
    for length in [1, WINDOW] {
        assert_eq!(status(send(&client, "/b", length).await).await, StatusCode::OK);
    }
    assert_eq!(status(send(&client, "/b", WINDOW + 1).await).await, StatusCode::PAYLOAD_TOO_LARGE);
    drop(guard);
    assert_eq!(status(waiting).await, StatusCode::OK);
}

#[tokio::test]
async fn a_connection_with_room_for_all_of_its_streams_is_held_up_by_none() {
    const STREAM: u32 = 64 * 1024;
    const STREAMS: u32 = 16;
    let provider = InMemoryLockProvider::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = locked(&provider, LIMIT);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let mut server = Builder::new(TokioExecutor::new());
                server
                    .http2()
                    .max_concurrent_streams(STREAMS)
                    .initial_stream_window_size(STREAM)
                    .initial_connection_window_size(STREAM * STREAMS);
                server.serve_connection_with_upgrades(TokioIo::new(stream), service).await.unwrap();
            });
        }
    });
    let guard = hold(&provider, "/a").await;
    let client = connect(address).await;
    let mut waiting = Vec::new();
    for _ in 1..STREAMS {
        waiting.push(send(&client, "/a", 2 * STREAM as usize).await);
    }
    waiters(&provider, "/a", waiting.len()).await;
    for length in [0, 1, 2 * STREAM as usize] {
        assert_eq!(status(send(&client, "/b", length).await).await, StatusCode::OK);
    }
    drop(guard);
    for answer in waiting {
        assert_eq!(status(answer).await, StatusCode::OK);
    }
}
