//! The HTTP layer over locks on a real Redis server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "http/storm/engine/mod.rs"]
mod engine;
#[path = "support/redis/mod.rs"]
mod support;

use std::convert::Infallible;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::BodyExt;
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, LockOptions, RedisLockOptions, RedisLockProvider, key,
};
use support::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};

fn provider(server: &RedisServer) -> RedisLockProvider {
    RedisLockProvider::new(RedisLockOptions::default().connection_string(server.url())).unwrap()
}

#[test]
fn nothing_overlaps_and_nothing_is_left_on_redis() {
    let server = RedisServer::start();
    engine::runtime().block_on(async {
        let provider = provider(&server);
        let left = provider.clone();
        let kept = || server.keys().iter().filter(|key| !key.ends_with("}:f")).count();
        engine::storm(Arc::new(provider), engine::Backend::Remote, async || left.len() + kept()).await;
    });
}

const TTL: Duration = Duration::from_millis(300);
const CHUNKS: u32 = 10;

/// When a request's handler began, and when the last part of its answer was made.
type Times = Arc<Mutex<Vec<(Instant, Option<Instant>)>>>;

/// A copy of a service whose answer takes more than three leases to stream.
async fn copy(server: &RedisServer, times: &Times, begun: mpsc::UnboundedSender<()>) -> SocketAddr {
    let layer = HttpLockLayer::new(provider(server), key::constant("stream")).ttl(TTL).wait(Duration::from_secs(10));
    let times = Arc::clone(times);
    let handler = async move || {
        let number = {
            let mut times = times.lock().unwrap();
            times.push((Instant::now(), None));
            times.len() - 1
        };
        begun.send(()).unwrap();
        Body::from_stream(stream::unfold(0, move |sent| {
            let times = Arc::clone(&times);
            async move {
                if sent == CHUNKS {
                    return None;
                }
                sleep(TTL * 7 / 20).await;
                times.lock().unwrap()[number].1 = Some(Instant::now());
                Some((Ok::<_, std::io::Error>("part "), sent + 1))
            }
        }))
    };
    let app = Router::new().route("/", get(handler).route_layer(layer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// The whole answer, as it came.
async fn ask(address: SocketAddr) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}

/// An answer that streams for more than three leases is produced under its lock to the end: a request to another copy
/// of the service begins after the last part of the first one's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streamed_answer_holds_its_lock_for_three_leases() {
    let server = RedisServer::start();
    let times = Times::default();
    let (begun, mut has_begun) = mpsc::unbounded_channel();
    let one = copy(&server, &times, begun.clone()).await;
    let other = copy(&server, &times, begun).await;
    let first = tokio::spawn(ask(one));
    timeout(Duration::from_secs(10), has_begun.recv()).await.unwrap().unwrap();
    let second = tokio::spawn(ask(other));
    for answer in [first, second] {
        let answer = timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
        assert_eq!(answer.matches("part ").count(), CHUNKS as usize, "{answer}");
    }
    let times = times.lock().unwrap();
    let [(begun_first, Some(ended_first)), (begun_second, Some(_))] = times[..] else {
        panic!("two requests: {times:?}")
    };
    assert!(ended_first - begun_first > 3 * TTL, "it streamed for {:?}", ended_first - begun_first);
    assert!(begun_second >= ended_first, "the second began {:?} before", ended_first - begun_second);
}

/// Not a test by itself: the process that the test below kills while it holds the lock. Ends when its standard input does.
#[tokio::test]
#[ignore = "a process of the test that is beside it"]
async fn a_holder_to_be_killed() {
    let Ok(url) = std::env::var("ORCHESTRIX_A_HOLDER_TO_BE_KILLED") else { return };
    let provider = RedisLockProvider::new(RedisLockOptions::default().connection_string(url)).unwrap();
    let lock = provider.create_lock("dead".try_into().unwrap(), LockOptions::default().ttl(DEAD_TTL)).unwrap();
    let _guard = lock.acquire().await.unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

const DEAD_TTL: Duration = Duration::from_secs(8);

/// A killed holder's lock stays taken until its lease ends. Clients are told to come back then, and not each second; but
/// while the holder may be alive they are not sent away for longer than a second.
#[tokio::test]
async fn a_client_is_told_when_the_lease_of_a_killed_holder_ends() {
    let server = RedisServer::start();
    let mut holder = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_holder_to_be_killed", "--ignored", "--nocapture"])
        .env("ORCHESTRIX_A_HOLDER_TO_BE_KILLED", server.url())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let left = || {
        let left: i64 = server.ask(redis::cmd("PTTL").arg("orchestrix:lock:dead"));
        Duration::from_millis(left.try_into().unwrap_or(0))
    };
    let until = async |condition: &dyn Fn() -> bool| {
        let asked = Instant::now();
        while !condition() {
            assert!(asked.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(5)).await;
        }
    };
    let layer =
        HttpLockLayer::new(provider(&server), key::constant("dead")).ttl(DEAD_TTL).wait(Duration::from_millis(100));
    let service =
        layer.layer(service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
    let retry_after = async || {
        let answer = service.clone().oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), 503);
        Duration::from_secs(answer.headers()["retry-after"].to_str().unwrap().parse().unwrap())
    };
    until(&|| !left().is_zero()).await;
    assert_eq!(retry_after().await, Duration::from_secs(1), "the holder is alive");
    holder.kill().unwrap();
    holder.wait().unwrap();
    // Only the holder would renew it.
    until(&|| left() < DEAD_TTL * 11 / 20).await;
    let told = retry_after().await;
    let ends = left();
    assert!(told >= ends && told < ends + Duration::from_secs(3), "{told:?} for {ends:?}");
    until(&|| left().is_zero()).await;
    assert_eq!(service.clone().oneshot(Request::new(Body::empty())).await.unwrap().status(), 200);
}

/// Two layers whose locks are one on the server, each by a provider of its own clone.
#[tokio::test]
async fn a_second_layer_for_one_lock_on_redis_is_refused_at_once() {
    let server = RedisServer::start();
    let provider = provider(&server);
    let layer = || HttpLockLayer::new(provider.clone(), key::constant("one")).wait(Duration::from_secs(600));
    let twice = async |outer: HttpLockLayer<key::Key>| {
        let inner =
            layer().layer(service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
        let answer = timeout(Duration::from_secs(20), outer.layer(inner).oneshot(Request::new(Body::empty()))).await;
        answer.expect("at once").unwrap()
    };
    let answer = twice(layer()).await;
    assert_eq!(answer.status(), 500);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("urn:orchestrix:locking:already-held"));
    assert_eq!(provider.len(), 0);
    assert_eq!(twice(HttpLockLayer::new(provider.clone(), key::constant("another"))).await.status(), 200);
}
