//! Messages that are lost: slower, and otherwise the same.

use std::time::{Duration, Instant};

use super::scene::{KEY, LIMIT, NAME, SOON, Scene, ended, granted, lock, provider_at, until, until_waiting, wait_for};
use crate::support::{PlainLocker, RedisServer};

const TTL: Duration = Duration::from_secs(30);

/// A waiter relies on messages for about a second.
const CAP: Duration = Duration::from_secs(1);

/// The lock is handed to a waiter who never hears of it: it asks, and finds itself the owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_that_was_granted_the_lock_untold_finds_out() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    scene.proxy.drop_messages(true);
    for round in 1..4 {
        let held = lock(&other, NAME, TTL).acquire().await.unwrap();
        let waiter = wait_for(&scene.lock(TTL), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        let released = Instant::now();
        held.release().await.unwrap();
        tokio::time::timeout(LIMIT, scene.proxy.until_dropped_messages(round)).await.unwrap();
        let owner: String = scene.server.ask(redis::cmd("GET").arg(KEY));
        let guard = granted(waiter).await;
        let took = released.elapsed();
        assert!(took < CAP + Duration::from_millis(300), "{took:?}");
        let now: String = scene.server.ask(redis::cmd("GET").arg(KEY));
        assert_eq!(owner, now, "it was its own already");
        guard.release().await.unwrap();
    }
    scene.until_clean(SOON).await;
}

/// A holder of another make sends no notification of its release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_freed_without_a_message_is_noticed() {
    let scene = Scene::new();
    let mut plain = PlainLocker::connect(&scene.server.url()).await;
    let token = plain.lock_for_ever(KEY).await.unwrap();
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    let released = Instant::now();
    assert!(plain.unlock(KEY, &token).await);
    let guard = granted(waiter).await;
    assert!(released.elapsed() < CAP + Duration::from_millis(300), "{:?}", released.elapsed());
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// Nor does a newcomer profit from it: the lock is the waiter's, whom the newcomer's question tells of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_was_freed_without_a_message_is_no_newcomers() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let newcomer = lock(&other, NAME, TTL);
    let mut plain = PlainLocker::connect(&scene.server.url()).await;
    let token = plain.lock_for_ever(KEY).await.unwrap();
    assert!(newcomer.try_acquire(Duration::ZERO).await.unwrap().is_none());
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    assert!(plain.unlock(KEY, &token).await);
    assert!(newcomer.try_acquire(Duration::ZERO).await.unwrap().is_none(), "a waiter was there before");
    granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// "Others wait" is lost too: the holder's process learns it with its next renewal, and lets them have a turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_not_told_of_others_lets_them_in_all_the_same() {
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    scene.proxy.drop_messages(true);
    let stop = tokio::sync::watch::Sender::new(false);
    // The lock goes round and round within one process.
    let busy: Vec<_> = (0..3)
        .map(|_| {
            let (lock, stop) = (scene.lock(Duration::from_millis(900)), stop.clone());
            tokio::spawn(async move {
                while !*stop.borrow() {
                    let guard = lock.acquire().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    super::scene::until("it is busy", LIMIT, || scene.provider.waiters(&super::scene::resource(NAME)) > 0).await;
    let waiter = wait_for(&lock(&other, NAME, TTL), LIMIT);
    granted(waiter).await.release().await.unwrap();
    stop.send_replace(true);
    for task in busy {
        super::scene::ended(task).await;
    }
    scene.until_clean(SOON).await;
}

/// The way to the server is stuck: a waiter's next question waits behind what is on its way, the lock is handed to it all
/// the same, and it lets go at once. Nothing of its question reaches the server after its release.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_was_overtaken_by_its_own_release_leaves_nothing_in_the_queue() {
    let scene = Scene::with(RedisServer::start(), |options| options.response_timeout(LIMIT));
    scene.warm().await;
    let other = provider_at(scene.server.url());
    // A waiter asks again before a message is too old for it, and the time between is short. On a busy machine it may be
    // missed: then the scene is played again.
    for _ in 0..10 {
        let held = lock(&other, NAME, LIMIT).acquire().await.unwrap();
        let waiter = wait_for(&scene.lock(LIMIT), LIMIT);
        until_waiting(&scene.server, &scene.provider, 1).await;
        let asks_again = tokio::time::Instant::now() + Duration::from_millis(930);
        scene.proxy.stall_requests(true);
        // As many as may be on their way before another has to be worth it, one after the other, so that each is sent alone.
        let mut stuck = Vec::new();
        for number in 0..3 {
            stuck.push(wait_for(&lock(&scene.provider, &format!("stuck-{number}"), LIMIT), LIMIT));
            until("it is asked for", SOON, || scene.provider.len() == number + 2).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep_until(asks_again).await;
        held.release().await.unwrap();
        let in_time = Instant::now() + Duration::from_millis(300);
        while !waiter.is_finished() && Instant::now() < in_time {
            tokio::task::yield_now().await;
        }
        let is_played = waiter.is_finished();
        let before = scene.server.scripts_run();
        if is_played {
            let released = tokio::spawn(granted(waiter).await.release());
            until("the release was pushed", SOON, || scene.provider.len() == 3).await;
            scene.proxy.stall_requests(false);
            ended(released).await.unwrap();
        } else {
            scene.proxy.stall_requests(false);
            granted(waiter).await.release().await.unwrap();
        }
        for stuck in stuck {
            granted(stuck).await.release().await.unwrap();
        }
        scene.until_clean(SOON).await;
        if is_played {
            let commands = scene.server.scripts_run() - before;
            // Three acquires, four releases, and a question that was sent before its release after all. One that was sent
            // after it has to be taken back as well.
            assert!(commands <= 8, "{commands} commands");
            return;
        }
    }
    panic!("the lock was never handed over between the question and the end of what a message is good for");
}
