//! The order of the waiters, when a connection is replaced.

use std::time::Duration;

use super::scene::{
    LIMIT, NAME, QUEUE, SOON, Scene, granted, lock, provider_at, until, until_clean, until_it_works, until_waiting,
    wait_for,
};

const TTL: Duration = Duration::from_secs(30);

/// A waiter who has no connection at the moment of a release is passed over, as one that is dead: nothing on the server
/// tells them apart. It goes on waiting, at the end of the queue. With a connection at the next release it is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_without_a_connection_at_a_release_is_passed_over_and_waits_behind_the_others() {
    let scene = Scene::new();
    let holder = provider_at(scene.server.url());
    let held = lock(&holder, NAME, TTL).acquire().await.unwrap();
    let first = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    let (second, third) = (provider_at(scene.server.url()), provider_at(scene.server.url()));
    let in_queue = |count| {
        let server = &scene.server;
        until("it is in the queue", SOON, move || server.ask::<usize>(redis::cmd("LLEN").arg(QUEUE)) == count)
    };
    let behind = wait_for(&lock(&second, NAME, TTL), LIMIT);
    in_queue(2).await;

    scene.proxy.refuse(true);
    scene.proxy.cut();
    let listeners = || scene.server.ask::<Vec<String>>(redis::cmd("PUBSUB").arg("CHANNELS")).len();
    until("the server knows that it is gone", SOON, || listeners() == 2).await;
    held.release().await.unwrap();
    let second_guard = granted(behind).await;
    assert!(!first.is_finished(), "it waits on");
    scene.proxy.refuse(false);
    in_queue(1).await;
    let last = wait_for(&lock(&third, NAME, TTL), LIMIT);
    in_queue(2).await;
    second_guard.release().await.unwrap();
    let first_guard = granted(first).await;
    assert!(!last.is_finished());
    first_guard.release().await.unwrap();
    granted(last).await.release().await.unwrap();
    until_clean(&scene.server, &scene.provider, SOON).await;
}

/// One that has its connection back by then has kept its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_whose_connection_is_back_at_the_release_has_kept_its_place() {
    let scene = Scene::new();
    let holder = provider_at(scene.server.url());
    let held = lock(&holder, NAME, TTL).acquire().await.unwrap();
    let first = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    let second = provider_at(scene.server.url());
    let behind = wait_for(&lock(&second, NAME, TTL), LIMIT);
    until("both are in the queue", SOON, || scene.server.ask::<usize>(redis::cmd("LLEN").arg(QUEUE)) == 2).await;

    let accepted = scene.proxy.accepted();
    scene.proxy.cut();
    until("it connects again", SOON, || scene.proxy.accepted() > accepted).await;
    // Over that connection, which is subscribed before it is used.
    until_it_works(&lock(&scene.provider, "warm", TTL)).await;
    held.release().await.unwrap();
    let guard = granted(first).await;
    assert!(!behind.is_finished());
    guard.release().await.unwrap();
    granted(behind).await.release().await.unwrap();
    until_clean(&scene.server, &scene.provider, SOON).await;
}
