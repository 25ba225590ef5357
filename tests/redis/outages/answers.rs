//! Answers that are lost: what was asked was done, and no caller hears of it.

use std::time::Duration;

use super::scene::{KEY, LIMIT, NAME, QUEUE, SOON, Scene, keys, lock, provider_at, unavailable, until, wait_for};
use super::scene::{ended, granted, until_waiting};
use crate::support::RedisServer;

/// Long, so that nothing here ends by itself.
const TTL: Duration = Duration::from_secs(60);

async fn scene() -> Scene {
    let scene = Scene::with(RedisServer::start(), |options| options.response_timeout(Duration::from_millis(300)));
    scene.warm().await;
    scene
}

/// An acquire that was granted without our knowing is taken back when the server can be reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_whose_answer_was_lost_is_undone() {
    for stall in [false, true] {
        for time in [Duration::from_millis(50), LIMIT, Duration::ZERO] {
            let scene = scene().await;
            scene.proxy.stall_answers(stall);
            scene.proxy.drop_answers(!stall);
            let asked = wait_for(&scene.lock(TTL), time);
            until("the server has granted it", SOON, || keys(&scene.server) == [KEY]).await;
            unavailable(ended(asked).await.0);
            assert_eq!(keys(&scene.server), [KEY], "it cannot be undone yet");
            scene.proxy.drop_answers(false);
            scene.proxy.stall_answers(false);
            scene.until_clean(SOON).await;
            scene.works().await;
        }
    }
}

/// The same for a caller who is dropped, and not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_acquire_whose_answer_was_lost_is_undone() {
    let scene = scene().await;
    scene.proxy.drop_answers(true);
    let asked = wait_for(&scene.lock(TTL), LIMIT);
    until("the server has granted it", SOON, || keys(&scene.server) == [KEY]).await;
    asked.abort();
    assert!(asked.await.is_err());
    scene.proxy.drop_answers(false);
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// A place in the queue of which no process knows is given up too, and the holder's release goes to those behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_in_the_queue_whose_answer_was_lost_is_undone() {
    let scene = scene().await;
    let other = provider_at(scene.server.url());
    let held = lock(&other, NAME, TTL).acquire().await.unwrap();
    let in_queue = || scene.server.ask::<usize>(redis::cmd("LLEN").arg(QUEUE));
    scene.proxy.drop_answers(true);
    let asked = wait_for(&scene.lock(TTL), Duration::from_millis(100));
    until("it is in the queue", SOON, || in_queue() == 1).await;
    let third = provider_at(scene.server.url());
    let behind = wait_for(&lock(&third, NAME, TTL), LIMIT);
    until("another is behind it", SOON, || in_queue() == 2).await;
    unavailable(ended(asked).await.0);
    scene.proxy.drop_answers(false);
    until("only the other is in the queue", SOON, || in_queue() == 1).await;
    held.release().await.unwrap();
    granted(behind).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// A release whose answer was lost: it was done, but the caller cannot know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_whose_answer_was_lost_was_done() {
    let scene = scene().await;
    let guard = scene.lock(TTL).acquire().await.unwrap();
    scene.proxy.drop_answers(true);
    unavailable(guard.release().await);
    until("the key is gone", SOON, || keys(&scene.server).is_empty()).await;
    scene.proxy.drop_answers(false);
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// A release that did not arrive is made up for when the server can be reached; also one whose result is not awaited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_was_lost_is_made_up_for() {
    for told in [true, false] {
        let scene = scene().await;
        let guard = scene.lock(TTL).acquire().await.unwrap();
        scene.proxy.drop_requests(true);
        if told {
            unavailable(guard.release().await);
        } else {
            drop(guard);
        }
        assert_eq!(keys(&scene.server), [KEY]);
        scene.proxy.drop_requests(false);
        scene.until_clean(SOON).await;
        scene.works().await;
    }
}

/// A release while the server is away is made up for when it is back with its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_during_an_outage_is_made_up_for() {
    let server = RedisServer::builder().append_only().start();
    let scene = Scene::on(server);
    let guard = scene.lock(TTL).acquire().await.unwrap();
    scene.server.kill();
    unavailable(guard.release().await);
    scene.server.start_again();
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// One way cut: the waiter's connection is silent, and it waits on all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_outlives_a_way_that_was_cut() {
    for answers in [true, false] {
        let scene = scene().await;
        let other = provider_at(scene.server.url());
        let held = lock(&other, NAME, TTL).acquire().await.unwrap();
        let waiter = wait_for(&scene.lock(TTL), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        let accepted = scene.proxy.accepted();
        // Or it would hear of its grant, and wait for nothing any more.
        scene.proxy.drop_messages(true);
        scene.proxy.drop_answers(answers);
        scene.proxy.drop_requests(!answers);
        held.release().await.unwrap();
        until("the connection is given up for another", LIMIT, || scene.proxy.accepted() > accepted).await;
        assert!(!waiter.is_finished(), "it waits still");
        scene.proxy.drop_messages(false);
        scene.proxy.drop_answers(false);
        scene.proxy.drop_requests(false);
        let guard = granted(waiter).await;
        assert!(guard.is_held());
        guard.release().await.unwrap();
        scene.until_clean(SOON).await;
    }
}

/// An extension whose answer was lost is not believed in: the lease ends at the earlier of its two ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_whose_answer_was_lost_is_not_believed_in() {
    let scene = scene().await;
    for (extension, believed) in [(TTL * 10, TTL), (TTL / 2, TTL / 2)] {
        let guard = scene.lock(TTL).acquire().await.unwrap();
        scene.proxy.drop_answers(true);
        unavailable(guard.extend(extension).await);
        assert!(guard.is_held() && guard.remaining() <= believed, "{:?}", guard.remaining());
        scene.proxy.drop_answers(false);
        until("the connection is back", SOON, || scene.proxy.connections() == 1).await;
        until("it is released", SOON, || scene.provider.len() == 1).await;
        drop(guard);
        scene.until_clean(SOON).await;
    }
}
