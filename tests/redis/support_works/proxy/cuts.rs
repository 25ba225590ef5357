//! Connections that end, or do not begin.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::super::LIMIT;
use super::{Scene, incr};

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
