//! What this crate avoids in its dependencies. When one of these tests fails, docs/upstream.md is out of date.

use std::fmt::Write as _;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, PushInfo, RedisResult, Value};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::sentinel::fake::read_command;

/// What a server sends, without being asked, when the slot of a shard channel moves to another node.
const SUNSUBSCRIBE: &str = ">3\r\n$12\r\nsunsubscribe\r\n$5\r\n{a}:c\r\n:0\r\n";

/// A push of the kind that the redis crate passes on without taking it for a reply.
const MESSAGE: &str = ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\ntext\r\n";

/// How many requests are in flight when the push comes.
const IN_FLIGHT: usize = 3;

/// A server that replies to `GET key` with the key. It keeps the first replies back until all these requests are in flight, and
/// sends this push before them.
async fn connect_to_fake(push: &'static str) -> (MultiplexedConnection, UnboundedReceiver<PushInfo>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { serve(listener.accept().await.unwrap().0, push).await });
    let (sender, pushes) = unbounded_channel();
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3")).unwrap();
    let config =
        AsyncConnectionConfig::new().set_push_sender(sender).set_response_timeout(Some(Duration::from_millis(300)));
    (client.get_multiplexed_async_connection_with_config(&config).await.unwrap(), pushes)
}

async fn serve(stream: TcpStream, push: &str) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let (mut kept, mut gets) = (push.to_owned(), 0);
    loop {
        let words = read_command(&mut stream).await?;
        match words[0].to_ascii_uppercase().as_str() {
            "HELLO" => stream.write_all(b"%1\r\n$5\r\nproto\r\n:3\r\n").await.ok()?,
            "GET" => {
                gets += 1;
                write!(kept, "${}\r\n{}\r\n", words[1].len(), words[1]).unwrap();
                if gets >= IN_FLIGHT {
                    stream.write_all(std::mem::take(&mut kept).as_bytes()).await.ok()?;
                }
            }
            _ => stream.write_all(b"+OK\r\n").await.ok()?,
        }
    }
}

async fn get(connection: &MultiplexedConnection, key: &str) -> RedisResult<Value> {
    redis::cmd("GET").arg(key).query_async(&mut connection.clone()).await
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

/// redis 1.8.1 takes every `sunsubscribe` for the reply to the oldest request. Each request in flight then gets the reply to the
/// one before it. So no connection of this crate that makes calls has a shard subscription.
#[tokio::test]
async fn an_unsolicited_sunsubscribe_shifts_the_replies_of_the_redis_crate() {
    let (connection, mut pushes) = connect_to_fake(SUNSUBSCRIBE).await;
    let (first, second, third) =
        tokio::join!(get(&connection, "first"), get(&connection, "second"), get(&connection, "third"));
    assert!(matches!(first, Ok(Value::Push { .. })), "the push, and not the value: {first:?}");
    assert_eq!(second.unwrap(), text("first"), "the value of another key");
    assert_eq!(third.unwrap(), text("second"), "and so on");
    assert!(pushes.recv().await.is_some(), "it is passed on as a push as well");
    assert_eq!(get(&connection, "fourth").await.unwrap(), text("fourth"), "nothing was in flight at the last reply");
}

/// Pushes of other kinds, such as the messages that this crate relies on, shift nothing.
#[tokio::test]
async fn a_message_shifts_no_reply_of_the_redis_crate() {
    let (connection, mut pushes) = connect_to_fake(MESSAGE).await;
    let (first, second, third) =
        tokio::join!(get(&connection, "first"), get(&connection, "second"), get(&connection, "third"));
    for (value, key) in [(first, "first"), (second, "second"), (third, "third")] {
        assert_eq!(value.unwrap(), text(key));
    }
    assert_eq!(pushes.recv().await.map(|push| push.kind), Some(redis::PushKind::Message));
}
