//! Every fault of the proxy does what it says, and no more.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisResult, Value, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

use super::{A_WHILE, LIMIT};
use crate::support::{Certificates, Proxy, RedisServer};

struct Scene {
    server: RedisServer,
    proxy: Proxy,
}

impl Scene {
    fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        Self { server, proxy }
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(LIMIT)).set_connection_timeout(Some(LIMIT));
        Client::open(self.proxy.url()).unwrap().get_multiplexed_async_connection_with_config(&config).await
    }

    /// A plain stream, on which each byte can be seen.
    async fn raw(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.proxy.port())).await.unwrap()
    }

    /// What the server has counted, seen past the proxy.
    fn count(&self) -> u64 {
        self.server.ask::<Option<u64>>(cmd("GET").arg("count")).unwrap_or(0)
    }

    async fn until_count(&self, count: u64) {
        let deadline = Instant::now() + LIMIT;
        while self.count() != count {
            assert!(Instant::now() < deadline, "the server does not come to {count}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn incr() -> Cmd {
    cmd("INCR").arg("count").to_owned()
}

#[tokio::test]
async fn it_passes_through() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    let value = vec![b'x'; 3 << 20];
    cmd("SET").arg("key").arg(&value).exec_async(&mut connection).await.unwrap();
    assert_eq!(cmd("GET").arg("key").query_async::<Vec<u8>>(&mut connection).await.unwrap(), value);
    assert_eq!((scene.proxy.connections(), scene.proxy.accepted()), (1, 1));
    let other = scene.connect().await.unwrap();
    assert_eq!((scene.proxy.connections(), scene.proxy.accepted()), (2, 2));
    drop((connection, other));
    timeout(LIMIT, scene.proxy.until_connections(0)).await.unwrap();
    assert_eq!(scene.proxy.accepted(), 2);
}

#[tokio::test]
async fn a_client_can_end_its_side_alone() {
    let scene = Scene::new();
    let mut stream = scene.raw().await;
    stream.write_all(b"PING\r\n").await.unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0, "the server closes in its turn");
    timeout(LIMIT, scene.proxy.until_connections(0)).await.unwrap();
}

#[tokio::test]
async fn delays_add_up_each_way_and_order_stays() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    let took = async |connection: &mut MultiplexedConnection| {
        let begun = Instant::now();
        incr().exec_async(connection).await.unwrap();
        begun.elapsed()
    };
    scene.proxy.delay_requests(A_WHILE);
    assert!(took(&mut connection).await >= A_WHILE);
    scene.proxy.delay(A_WHILE);
    assert!(took(&mut connection).await >= 2 * A_WHILE);
    // Many at once are late together, not one after the other.
    let begun = Instant::now();
    let many = (0..20).map(|_| {
        let mut connection = connection.clone();
        async move { incr().query_async::<u64>(&mut connection).await.unwrap() }
    });
    let counts = futures_util::future::join_all(many).await;
    assert_eq!(counts, (3..23).collect::<Vec<_>>());
    assert!(begun.elapsed() >= 2 * A_WHILE && begun.elapsed() < 10 * A_WHILE, "{:?}", begun.elapsed());
    // Lifted, it also lets go at once what is on its way.
    scene.proxy.delay(LIMIT * 10);
    let late = tokio::spawn(async move { incr().query_async::<u64>(&mut connection).await });
    assert!(timeout(A_WHILE, scene.until_count(23)).await.is_err());
    scene.proxy.delay(Duration::ZERO);
    assert_eq!(timeout(LIMIT, late).await.unwrap().unwrap().unwrap(), 23);
}

#[tokio::test]
async fn dropped_requests_never_arrive() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    scene.proxy.drop_requests(true);
    let mut lost = connection.clone();
    let mut answer = tokio::spawn(async move { incr().query_async::<u64>(&mut lost).await });
    assert!(timeout(A_WHILE, &mut answer).await.is_err());
    assert_eq!(scene.count(), 0);
    assert_eq!(scene.proxy.connections(), 1);
    // A connection that lost something does not go on as if it had not.
    scene.proxy.drop_requests(false);
    assert!(timeout(LIMIT, answer).await.unwrap().unwrap().is_err());
    assert!(incr().exec_async(&mut connection).await.is_err());
    assert_eq!(scene.count(), 0);
    let mut again = scene.connect().await.unwrap();
    assert_eq!(incr().query_async::<u64>(&mut again).await.unwrap(), 1);
}

#[tokio::test]
async fn a_loss_that_hit_nothing_leaves_the_connection() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    scene.proxy.drop_requests(true);
    scene.proxy.drop_answers(true);
    scene.proxy.drop_requests(false);
    scene.proxy.drop_answers(false);
    assert_eq!(incr().query_async::<u64>(&mut connection).await.unwrap(), 1);
}

#[tokio::test]
async fn dropped_answers_are_of_commands_that_were_run() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    scene.proxy.drop_answers(true);
    let mut answer = tokio::spawn(async move { incr().query_async::<u64>(&mut connection).await });
    scene.until_count(1).await;
    assert!(timeout(A_WHILE, &mut answer).await.is_err());
    scene.proxy.drop_answers(false);
    assert!(timeout(LIMIT, answer).await.unwrap().unwrap().is_err());
    assert_eq!(scene.count(), 1);
}

#[tokio::test]
async fn stalled_bytes_are_held_and_arrive_later() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    scene.proxy.stall(true);
    let mut answer = tokio::spawn(async move { incr().query_async::<u64>(&mut connection).await });
    assert!(timeout(A_WHILE, &mut answer).await.is_err());
    assert_eq!(scene.count(), 0);
    scene.proxy.stall_requests(false);
    scene.until_count(1).await;
    assert!(timeout(A_WHILE, &mut answer).await.is_err(), "answers are still held");
    scene.proxy.stall_answers(false);
    assert_eq!(timeout(LIMIT, answer).await.unwrap().unwrap().unwrap(), 1);
}

#[tokio::test]
async fn cut_closes_all_connections_and_takes_new_ones() {
    let scene = Scene::new();
    let mut streams = [scene.raw().await, scene.raw().await];
    timeout(LIMIT, scene.proxy.until_connections(2)).await.unwrap();
    // Also one that holds bytes.
    scene.proxy.stall(true);
    streams[0].write_all(b"PING\r\n").await.unwrap();
    scene.proxy.cut();
    for stream in &mut streams {
        let end = timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap();
        assert!(end.is_err() || end.is_ok_and(|count| count == 0));
    }
    timeout(LIMIT, scene.proxy.until_connections(0)).await.unwrap();
    scene.proxy.stall(false);
    let mut connection = scene.connect().await.unwrap();
    assert_eq!(incr().query_async::<u64>(&mut connection).await.unwrap(), 1);
}

#[tokio::test]
async fn cut_in_the_middle_of_an_answer() {
    let scene = Scene::new();
    scene.server.cli(&["SET", "key", "0123456789"]);
    let whole = b"$10\r\n0123456789\r\n";
    for count in 0..=whole.len() {
        let mut stream = scene.raw().await;
        scene.proxy.cut_after_answer_bytes(count as u64);
        stream.write_all(b"GET key\r\n").await.unwrap();
        let mut answer = Vec::new();
        timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, whole[..count]);
    }
    // Only once each time.
    let mut connection = scene.connect().await.unwrap();
    assert_eq!(incr().query_async::<u64>(&mut connection).await.unwrap(), 1);
}

#[tokio::test]
async fn cut_in_the_middle_of_a_request() {
    let scene = Scene::new();
    let whole = b"*2\r\n$4\r\nINCR\r\n$5\r\ncount\r\n";
    for count in 0..whole.len() {
        let mut stream = scene.raw().await;
        scene.proxy.cut_after_request_bytes(count as u64);
        stream.write_all(whole).await.unwrap();
        let mut answer = Vec::new();
        _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.is_empty());
    }
    timeout(LIMIT, scene.proxy.until_connections(0)).await.unwrap();
    assert_eq!(scene.count(), 0);
    let mut stream = scene.raw().await;
    scene.proxy.cut_after_request_bytes(whole.len() as u64);
    stream.write_all(whole).await.unwrap();
    scene.until_count(1).await;
}

#[tokio::test]
async fn refused_clients_are_closed_at_once_and_others_stay() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    scene.proxy.refuse(true);
    assert!(timeout(LIMIT, scene.connect()).await.unwrap().is_err());
    assert_eq!(incr().query_async::<u64>(&mut connection).await.unwrap(), 1);
    assert_eq!((scene.proxy.connections(), scene.proxy.accepted()), (1, 1));
    scene.proxy.refuse(false);
    scene.connect().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_gone_closes_its_clients() {
    let scene = Scene::new();
    let mut connection = scene.connect().await.unwrap();
    scene.server.kill();
    assert!(timeout(LIMIT, incr().exec_async(&mut connection)).await.unwrap().is_err());
    timeout(LIMIT, scene.proxy.until_connections(0)).await.unwrap();
    assert!(timeout(LIMIT, scene.connect()).await.unwrap().is_err());
    scene.server.start_again();
    scene.connect().await.unwrap();
}

#[tokio::test]
async fn redirected_connections_go_elsewhere() {
    let scene = Scene::new();
    let other = RedisServer::start();
    let mut old = scene.connect().await.unwrap();
    scene.proxy.redirect(other.port());
    let mut new = scene.connect().await.unwrap();
    cmd("SET").arg("old").arg("").exec_async(&mut old).await.unwrap();
    cmd("SET").arg("new").arg("").exec_async(&mut new).await.unwrap();
    assert_eq!(scene.server.keys(), ["old"]);
    assert_eq!(other.keys(), ["new"]);
}

#[tokio::test]
async fn a_dropped_proxy_closes_everything() {
    let scene = Scene::new();
    let mut stream = scene.raw().await;
    timeout(LIMIT, scene.proxy.until_connections(1)).await.unwrap();
    let port = scene.proxy.port();
    drop(scene.proxy);
    assert_eq!(timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

/// A connection with RESP3 that hears what is published to `inbox`, and to every channel with a pattern.
async fn subscriber(url: &str) -> (MultiplexedConnection, UnboundedReceiver<PushInfo>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let config = AsyncConnectionConfig::new().set_push_sender(sender).set_response_timeout(Some(LIMIT));
    let client = Client::open(format!("{url}/?protocol=resp3")).unwrap();
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await.unwrap();
    timeout(LIMIT, connection.subscribe("inbox")).await.unwrap().unwrap();
    timeout(LIMIT, connection.psubscribe("in*")).await.unwrap().unwrap();
    (connection, receiver)
}

async fn next_message(pushes: &mut UnboundedReceiver<PushInfo>) -> (PushKind, String) {
    loop {
        let push = timeout(LIMIT, pushes.recv()).await.unwrap().unwrap();
        if matches!(push.kind, PushKind::Message | PushKind::PMessage) {
            let Some(Value::BulkString(text)) = push.data.last() else { panic!("{push:?}") };
            return (push.kind, String::from_utf8(text.clone()).unwrap());
        }
    }
}

#[tokio::test]
async fn messages_are_lost_and_answers_are_not() {
    let scene = Scene::new();
    // Subscriptions are confirmed also while messages are lost.
    scene.proxy.drop_messages(true);
    let (mut connection, mut pushes) = subscriber(&scene.proxy.url()).await;
    assert_eq!(scene.server.cli(&["PUBLISH", "inbox", "lost"]), "2");
    timeout(LIMIT, scene.proxy.until_dropped_messages(2)).await.unwrap();
    // An answer and a message in one, both ways round.
    for script in ["redis.call('PUBLISH', 'inbox', 'lost too') return 7", "return 7"] {
        assert_eq!(cmd("EVAL").arg(script).arg(0).query_async::<u64>(&mut connection).await.unwrap(), 7);
    }
    assert_eq!(scene.proxy.dropped_messages(), 4);

    scene.proxy.drop_messages(false);
    scene.server.cli(&["PUBLISH", "inbox", "heard"]);
    assert_eq!(next_message(&mut pushes).await, (PushKind::Message, "heard".into()));
    assert_eq!(next_message(&mut pushes).await, (PushKind::PMessage, "heard".into()));
    assert_eq!(scene.proxy.dropped_messages(), 4);
}

#[tokio::test]
async fn messages_in_a_hurry_are_told_from_answers() {
    let scene = Scene::new();
    let (mut connection, mut pushes) = subscriber(&scene.proxy.url()).await;
    let publish = |count: u32| {
        let mut pipeline = redis::pipe();
        for number in 0..count {
            pipeline.cmd("PUBLISH").arg("inbox").arg("\r\n>3\r\n".repeat(100)).ignore().cmd("ECHO").arg(number);
        }
        pipeline
    };
    scene.proxy.drop_messages(true);
    let echoed: Vec<u32> = publish(500).query_async(&mut connection).await.unwrap();
    assert_eq!(echoed, (0..500).collect::<Vec<_>>());
    assert_eq!(scene.proxy.dropped_messages(), 1000);
    scene.proxy.drop_messages(false);
    let echoed: Vec<u32> = publish(500).query_async(&mut connection).await.unwrap();
    assert_eq!(echoed, (0..500).collect::<Vec<_>>());
    for _ in 0..1000 {
        next_message(&mut pushes).await;
    }
    assert_eq!(scene.proxy.dropped_messages(), 1000);
}

#[tokio::test]
async fn tls_passes_through_but_its_messages_cannot_be_seen() {
    let certificates = Certificates::new();
    let server = RedisServer::builder().tls(&certificates).start();
    let proxy = Proxy::to(server.port());
    let root_cert = Some(std::fs::read(certificates.authority()).unwrap());
    let url = proxy.url().replace("redis://", "rediss://");
    let client = Client::build_with_tls(url, redis::TlsCertificates { client_tls: None, root_cert }).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    cmd("PING").exec_async(&mut connection).await.unwrap();
    proxy.drop_messages(true);
    assert!(timeout(LIMIT, client.get_multiplexed_async_connection()).await.unwrap().is_err());
}
