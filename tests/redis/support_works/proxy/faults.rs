//! Delays, losses and stalls.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tokio::time::timeout;

use super::super::{A_WHILE, LIMIT};
use super::{Scene, incr};

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
