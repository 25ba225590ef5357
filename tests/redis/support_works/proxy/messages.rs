//! Published messages are lost, and nothing else is.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, PushKind, Value, cmd};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

use super::super::LIMIT;
use super::Scene;
use crate::support::{Certificates, Proxy, RedisServer};

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
