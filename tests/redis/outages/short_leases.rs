//! A lease that is shorter than the way to the server and back is over before it can be used: the caller is told so, after
//! a bounded number of commands.

use std::time::Duration;

use orchestrix_locking::LockOptions;

use super::scene::{LIMIT, NAME, SOON, Scene, ended, lock, provider_at, unavailable, until, until_waiting, wait_for};

const TTL: Duration = LockOptions::MIN_TTL;
/// One way. There and back are longer than the lease.
const WAY: Duration = Duration::from_millis(6);

async fn scene() -> Scene {
    let scene = Scene::new();
    scene.warm().await;
    scene.proxy.delay(WAY);
    scene
}

/// The error of a lease that was over.
#[track_caller]
fn names_the_ttl_and_the_round_trip(error: &str) {
    assert!(error.contains("the lease of 10ms was over"), "{error}");
    assert!(error.contains("round trip") && error.contains("use a longer ttl"), "{error}");
}

/// One attempt is one, and a waiter is not told that another caller holds the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquire_ends_with_an_error_that_names_the_ttl_and_the_round_trip() {
    let scene = scene().await;
    for wait in [Duration::ZERO, Duration::from_secs(2), Duration::MAX] {
        let before = scene.server.scripts_run();
        let answer = tokio::time::timeout(SOON, scene.lock(TTL).try_acquire(wait)).await.expect("it is answered");
        names_the_ttl_and_the_round_trip(&unavailable(answer));
        scene.until_clean(SOON).await;
        let commands = scene.server.scripts_run() - before;
        assert!(commands <= 4, "one attempt and its release, and once more at most: {commands} commands");
    }
    scene.works().await;
}

/// So are those behind it, each for its own lease; whose lease is longer gets the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_waiter_in_line_is_answered_for_its_own_lease() {
    const CALLERS: u64 = 8;
    let scene = scene().await;
    let before = scene.server.scripts_run();
    let short: Vec<_> = (0..CALLERS).map(|_| wait_for(&scene.lock(TTL), LIMIT)).collect();
    let name = super::scene::resource(NAME);
    until("they wait", SOON, || scene.provider.len() == 1).await;
    let long = wait_for(&scene.lock(LIMIT), LIMIT);
    for caller in short {
        // Some of them may have come when one of the others held the lock for a moment.
        names_the_ttl_and_the_round_trip(&unavailable(ended(caller).await.0));
    }
    super::scene::granted(long).await.release().await.unwrap();
    scene.until_clean(SOON).await;
    assert_eq!(scene.provider.waiters(&name), 0);
    let commands = scene.server.scripts_run() - before;
    assert!(commands <= 4 * (CALLERS + 1), "{commands} commands");
}

/// A waiter whose turn comes by message, and is over before it can be used, is told as well, and is not asked for again
/// and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_whose_turn_is_over_when_it_comes_is_told() {
    let scene = scene().await;
    scene.proxy.delay(WAY * 3);
    let other = provider_at(scene.server.url());
    let guard = lock(&other, NAME, LIMIT).acquire().await.unwrap();
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    let before = scene.server.scripts_run();
    guard.release().await.unwrap();
    names_the_ttl_and_the_round_trip(&unavailable(ended(waiter).await.0));
    scene.until_clean(SOON).await;
    let commands = scene.server.scripts_run() - before;
    assert!(commands <= 8, "{commands} commands");
}

/// A server that stands still for longer than the lease, once, costs a waiter nothing but the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_outlives_one_turn_that_came_too_late() {
    const SHORT: Duration = Duration::from_millis(200);
    let scene = Scene::with(crate::support::RedisServer::start(), |options| {
        // A way that is slow for a moment is no broken connection.
        options.response_timeout(LIMIT)
    });
    scene.warm().await;
    let other = provider_at(scene.server.url());
    let guard = lock(&other, NAME, LIMIT).acquire().await.unwrap();
    let waiter = wait_for(&scene.lock(SHORT), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    scene.proxy.stall_answers(true);
    guard.release().await.unwrap();
    // Until the lease is over by the server's own clock.
    until("the lease is over", SOON, || scene.server.ask::<usize>(redis::cmd("EXISTS").arg(super::scene::KEY)) == 0)
        .await;
    scene.proxy.stall_answers(false);
    super::scene::granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}
