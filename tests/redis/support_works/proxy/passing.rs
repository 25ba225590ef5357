//! What a proxy without a fault does.

use redis::cmd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::LIMIT;
use super::{Scene, incr};
use crate::support::RedisServer;

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
    // The port is closed at once, but while another test starts a process, that has a copy for a moment.
    let closed = async { while TcpStream::connect(("127.0.0.1", port)).await.is_ok() {} };
    timeout(LIMIT, closed).await.unwrap();
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
