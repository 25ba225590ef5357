//! Clients that stop sending, or send slowly, while their request holds its lock.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use bytes::Bytes;
use http::{Request, StatusCode, Version};
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockOptions, Resource, key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tower_http::timeout::{RequestBodyDeadlineLayer, RequestBodyTimeoutLayer, TimeoutLayer};

use crate::support::{LIMIT, becomes_free, hold, is_free, serve};

const NAME: &str = "the-lock";
const BRIEFLY: Duration = Duration::from_millis(200);
const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

fn layer(provider: &InMemoryLockProvider) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(provider.clone(), key::constant(NAME))
}

/// Reads the whole body under the lock.
fn reading() -> Router {
    Router::new().route("/", post(|body: Bytes| async move { body.len().to_string() }))
}

/// A client that announces 100 bytes and sends 10 of them at once.
enum Upload {
    Http1 { answer: OwnedReadHalf, rest: tokio::net::tcp::OwnedWriteHalf },
    Http2 { answer: h2::client::ResponseFuture, rest: h2::SendStream<Bytes>, connection: JoinHandle<()> },
}

impl Upload {
    async fn begin(address: SocketAddr, version: Version) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        if version == Version::HTTP_11 {
            stream.write_all(b"POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n0123456789").await.unwrap();
            let (answer, rest) = stream.into_split();
            return Self::Http1 { answer, rest };
        }
        let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        let request = Request::post(format!("http://{address}/")).header("content-length", "100").body(()).unwrap();
        let (answer, mut rest) = sender.send_request(request, false).unwrap();
        rest.send_data(Bytes::from_static(b"0123456789"), false).unwrap();
        Self::Http2 { answer, rest, connection }
    }

    /// Sends one byte now and then, until the server refuses more.
    fn trickle(self) -> (Option<h2::client::ResponseFuture>, Option<OwnedReadHalf>, JoinHandle<()>) {
        let mut time = interval(BRIEFLY / 10);
        match self {
            Self::Http1 { answer, mut rest } => {
                let sending = tokio::spawn(async move {
                    while rest.write_all(b"x").await.is_ok() {
                        time.tick().await;
                    }
                });
                (None, Some(answer), sending)
            }
            Self::Http2 { answer, mut rest, .. } => {
                let sending = tokio::spawn(async move {
                    while rest.send_data(Bytes::from_static(b"x"), false).is_ok() {
                        time.tick().await;
                    }
                });
                (Some(answer), None, sending)
            }
        }
    }

    async fn status(&mut self) -> StatusCode {
        match self {
            Self::Http1 { answer, .. } => http1_status(answer).await,
            Self::Http2 { answer, .. } => answer.await.unwrap().status(),
        }
    }

    fn vanish(self) {
        if let Self::Http2 { connection, .. } = &self {
            connection.abort();
        }
    }
}

async fn http1_status(answer: &mut OwnedReadHalf) -> StatusCode {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        assert_ne!(answer.read_buf(&mut head).await.unwrap(), 0, "no answer");
    }
    String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

async fn until_held(provider: &InMemoryLockProvider) {
    let name = Resource::try_from(NAME).unwrap();
    let held = async {
        while provider.inspect(&name).is_none() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, held).await.expect("the lock is taken");
}

#[tokio::test]
async fn without_a_bound_a_stalled_upload_holds_its_lock_until_the_client_goes() {
    for version in VERSIONS {
        let provider = InMemoryLockProvider::new();
        let server = serve(reading().layer(layer(&provider))).await;
        let mut upload = Upload::begin(server.address(), version).await;
        until_held(&provider).await;
        assert!(timeout(2 * BRIEFLY, upload.status()).await.is_err(), "{version:?}");
        assert!(!is_free(&provider, NAME).await, "{version:?}");
        upload.vanish();
        becomes_free(&provider, NAME).await;
    }
}

#[tokio::test]
async fn a_timeout_of_the_request_body_frees_the_lock_of_a_stalled_upload() {
    for version in VERSIONS {
        for outside in [false, true] {
            let (provider, body) = (InMemoryLockProvider::new(), RequestBodyTimeoutLayer::new(BRIEFLY));
            let router = if outside {
                reading().layer(layer(&provider)).layer(body)
            } else {
                reading().layer(body).layer(layer(&provider))
            };
            let server = serve(router).await;
            // The wait for the lock does not count, even if it is longer than the time-out: the body is not polled.
            let guard = hold(&provider, NAME).await;
            let mut upload = Upload::begin(server.address(), version).await;
            assert!(timeout(2 * BRIEFLY, upload.status()).await.is_err(), "{version:?}, outside: {outside}");
            drop(guard);
            let status = timeout(LIMIT, upload.status()).await.expect("an answer");
            assert_eq!(status, StatusCode::BAD_REQUEST, "{version:?}, outside: {outside}");
            // Over HTTP/1 the head may come before the end of the body, which frees the lock.
            becomes_free(&provider, NAME).await;
        }
    }
}

#[tokio::test]
async fn a_deadline_of_the_request_body_inside_frees_the_lock_of_one_that_trickles() {
    for version in VERSIONS {
        let provider = InMemoryLockProvider::new();
        // The time-out never ends this body: each byte comes in time.
        let layers = tower::ServiceBuilder::new()
            .layer(layer(&provider))
            .layer(RequestBodyTimeoutLayer::new(BRIEFLY))
            .layer(RequestBodyDeadlineLayer::new(3 * BRIEFLY));
        let server = serve(reading().layer(layers)).await;
        let guard = hold(&provider, NAME).await;
        let (http2, http1, sending) = Upload::begin(server.address(), version).await.trickle();
        // Neither limit counts while the request waits.
        sleep(4 * BRIEFLY).await;
        drop(guard);
        until_held(&provider).await;
        let status = async {
            match (http2, http1) {
                (Some(answer), _) => answer.await.unwrap().status(),
                (None, answer) => http1_status(&mut answer.unwrap()).await,
            }
        };
        assert_eq!(timeout(LIMIT, status).await.expect("an answer"), StatusCode::BAD_REQUEST, "{version:?}");
        becomes_free(&provider, NAME).await;
        sending.abort();
    }
}

#[tokio::test]
async fn a_deadline_of_the_request_body_outside_counts_the_wait_for_the_lock() {
    let provider = InMemoryLockProvider::new();
    let server = serve(reading().layer(layer(&provider)).layer(RequestBodyDeadlineLayer::new(BRIEFLY))).await;
    let guard = hold(&provider, NAME).await;
    let mut upload = Upload::begin(server.address(), Version::HTTP_11).await;
    assert!(timeout(2 * BRIEFLY, upload.status()).await.is_err());
    let begun = std::time::Instant::now();
    drop(guard);
    assert_eq!(timeout(LIMIT, upload.status()).await.expect("an answer"), StatusCode::BAD_REQUEST);
    assert!(begun.elapsed() < BRIEFLY, "its time was over before it began");
}

#[tokio::test]
async fn a_timeout_of_the_work_inside_frees_the_lock_of_an_upload_too() {
    for version in VERSIONS {
        let provider = InMemoryLockProvider::new();
        let work = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, BRIEFLY);
        let server = serve(reading().layer(work).layer(layer(&provider))).await;
        let mut upload = Upload::begin(server.address(), version).await;
        let status = timeout(LIMIT, upload.status()).await.expect("an answer");
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT, "{version:?}");
        becomes_free(&provider, NAME).await;
    }
}

#[tokio::test]
async fn max_hold_frees_the_lock_of_an_upload_that_stalls_or_trickles() {
    for version in VERSIONS {
        let provider = InMemoryLockProvider::new();
        let options = LockOptions::default().max_hold(Some(BRIEFLY));
        let server = serve(reading().layer(layer(&provider).options(options))).await;
        let mut upload = Upload::begin(server.address(), version).await;
        let status = timeout(LIMIT, upload.status()).await.expect("an answer");
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{version:?}");
        assert!(is_free(&provider, NAME).await, "{version:?}");

        let (http2, http1, sending) = Upload::begin(server.address(), version).await.trickle();
        until_held(&provider).await;
        becomes_free(&provider, NAME).await;
        sending.abort();
        drop((http1, http2));
    }
}
