//! The server is killed and comes back, with its data and without.

use std::time::{Duration, Instant};

use super::scene::{KEY, NAME, ended, until_clean};
use super::scene::{LIMIT, SOON, Scene, granted, lock, provider_at, unavailable, until, until_waiting, wait_for};
use crate::support::RedisServer;

/// Time enough for a restart while the lock is held.
const TTL: Duration = Duration::from_secs(6);

fn with_data() -> RedisServer {
    RedisServer::builder().append_only().start()
}

/// A server that comes back with its data costs the holder nothing: it keeps the lock, its renewals go on, and the
/// next fence is higher.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_data_the_holder_keeps_its_lock() {
    let scene = Scene::on(with_data());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let before = guard.expires_at();
    scene.server.kill();
    scene.server.start_again();
    until("it is renewed", TTL / 2, || guard.expires_at() > before).await;
    let renewed = guard.expires_at();
    until("it is renewed again", TTL, || guard.expires_at() > renewed).await;
    assert!(guard.is_held());
    let other = provider_at(scene.server.url());
    assert!(lock(&other, NAME, TTL).try_acquire(Duration::ZERO).await.unwrap().is_none(), "it is still ours");
    let first = guard.fencing_token();
    guard.release().await.unwrap();
    let next = lock(&other, NAME, TTL).acquire().await.unwrap();
    assert!(next.fencing_token() > first);
    next.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// After a restart without data the lock has no holder. The holder hears of it when the connection is back, and not
/// only when its lease ends; the waiter gets the lock with a higher fence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_data_the_loss_is_told_soon_and_a_waiter_gets_the_lock() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let guard = scene.lock(LIMIT).acquire().await.unwrap();
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    // In a task, which has to be woken: the end of a time-out would look once more by itself.
    let lost = tokio::spawn(guard.lost());
    scene.server.kill();
    scene.server.start_again();
    tokio::time::timeout(SOON, lost).await.expect("told soon, and not at the deadline").unwrap();
    assert!(!guard.is_held());
    let next = granted(waiter).await;
    assert!(next.fencing_token() > guard.fencing_token());
    // The late release of the loser changes nothing.
    drop(guard);
    scene.warm().await;
    assert!(next.is_held() && super::scene::keys(&scene.server).contains(&KEY.to_owned()));
    next.release().await.unwrap();
    until_clean(&scene.server, &other, SOON).await;
}

/// Callers that wait while the server goes away wait on, and are served in the order in which they came.
async fn waiters_survive(server: RedisServer) {
    let scene = Scene::on(server);
    let other = provider_at(scene.server.url());
    let guard = lock(&other, NAME, LIMIT).acquire().await.unwrap();
    let (order, mut turns) = tokio::sync::mpsc::unbounded_channel();
    let mut waiters = Vec::new();
    for number in 0..5 {
        let (lock, order) = (scene.lock(TTL), order.clone());
        waiters.push(tokio::spawn(async move {
            let guard = lock.try_acquire(LIMIT).await.unwrap().expect("time is left");
            order.send((number, guard.fencing_token())).unwrap();
            guard.release().await.unwrap();
        }));
        until_waiting(&scene.server, &scene.provider, number + 1).await;
    }
    scene.server.kill();
    scene.server.start_again();
    // With its data the server still has the holder, without them it may serve the waiters at once.
    drop(guard);
    let mut last = None;
    for expected in 0..5 {
        let (number, fence) = tokio::time::timeout(LIMIT, turns.recv()).await.unwrap().unwrap();
        assert_eq!(number, expected);
        assert!(last.is_none_or(|last| last < fence));
        last = Some(fence);
    }
    for waiter in waiters {
        ended(waiter).await;
    }
    scene.until_clean(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_survive_a_restart_with_data_in_their_order() {
    waiters_survive(with_data()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_survive_a_restart_without_data_in_their_order() {
    waiters_survive(RedisServer::start()).await;
}

/// The order between processes is the server's, and comes back with its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_data_the_order_between_processes_stays() {
    let server = with_data();
    let providers: Vec<_> = (0..4).map(|_| provider_at(server.url())).collect();
    let guard = lock(&providers[0], NAME, LIMIT).acquire().await.unwrap();
    let (order, mut turns) = tokio::sync::mpsc::unbounded_channel();
    for (number, provider) in providers.iter().enumerate().skip(1) {
        let (lock, order) = (lock(provider, NAME, TTL), order.clone());
        tokio::spawn(async move {
            let guard = lock.try_acquire(LIMIT).await.unwrap().unwrap();
            order.send(number).unwrap();
            guard.release().await.unwrap();
        });
        until_waiting(&server, provider, 1).await;
    }
    server.kill();
    server.start_again();
    // When all of them are back, none is skipped for being away.
    let subscribed = || {
        let channels: Vec<String> = server.ask(redis::cmd("PUBSUB").arg("CHANNELS"));
        channels.len() == providers.len()
    };
    until("all are back", LIMIT, subscribed).await;
    // The server may know of a connection a moment before the holder does.
    super::scene::until_it_works(&lock(&providers[0], "warm", TTL)).await;
    guard.release().await.unwrap();
    for expected in 1..4 {
        assert_eq!(tokio::time::timeout(LIMIT, turns.recv()).await.unwrap().unwrap(), expected);
    }
    until_clean(&server, &providers[3], SOON).await;
}

/// A waiter whose time runs out while the server is away is told so, on time, and not that the lock is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_whose_time_runs_out_during_the_outage_is_told_of_it_on_time() {
    let scene = Scene::on(with_data());
    let other = provider_at(scene.server.url());
    let guard = lock(&other, NAME, LIMIT).acquire().await.unwrap();
    let time = Duration::from_millis(1_500);
    let begun = Instant::now();
    let waiter = wait_for(&scene.lock(TTL), time);
    until_waiting(&scene.server, &scene.provider, 1).await;
    scene.server.kill();
    let (answer, at) = ended(waiter).await;
    let text = unavailable(answer);
    assert!(text.contains(&format!("127.0.0.1:{}", scene.proxy.port())), "{text}");
    let late = at.duration_since(begun).checked_sub(time).expect("not before its time");
    assert!(late < Duration::from_millis(100), "{late:?} late");
    // Nor is it in the queue when the server is back with its data.
    scene.server.start_again();
    until("only the lock", SOON, || super::scene::keys(&scene.server) == [KEY]).await;
    // The other's connection comes back at its own time.
    super::scene::until_it_works(&lock(&other, "warm", TTL)).await;
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
}
