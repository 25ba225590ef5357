//! Who holds a lock is known from a lease of this process or from the server: a caller whose time runs out while the
//! server is silent is told that the holder is not known.

use std::time::Duration;

use orchestrix_locking::{LockGuard, RedisLockOptions};
use tokio::task::JoinHandle;

use super::scene::{LIMIT, NAME, Outcome, SOON, Scene, ended, resource, unavailable, until, wait_for};
use crate::support::RedisServer;

const WAIT: Duration = Duration::from_millis(400);
/// Of leases that do not end by themselves, and differ, so that the next holder of the process has to ask for its own.
const TTL: Duration = Duration::from_secs(60);
const OTHER_TTL: Duration = Duration::from_secs(90);

async fn scene(options: impl FnOnce(RedisLockOptions) -> RedisLockOptions) -> Scene {
    let scene = Scene::with(RedisServer::start(), options);
    scene.warm().await;
    scene
}

/// A holder, and one who waits behind it in the same process.
async fn holder_and_waiter(scene: &Scene, ttl: Duration, wait: Duration) -> (LockGuard, JoinHandle<Outcome>) {
    let guard = scene.lock(TTL).acquire().await.unwrap();
    let waiter = wait_for(&scene.lock(ttl), wait);
    let name = resource(NAME);
    until("it waits", SOON, || scene.provider.waiters(&name) == 1).await;
    (guard, waiter)
}

/// A holder whose lease is over is none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_whose_holder_let_go_is_not_told_that_the_lock_is_held() {
    let scene = scene(|options| options).await;
    // So that the next holder does not come from this process without a question.
    let other = super::scene::provider_at(scene.server.url());
    let (guard, waiter) = holder_and_waiter(&scene, TTL, WAIT).await;
    let theirs = wait_for(&super::scene::lock(&other, NAME, TTL), LIMIT);
    super::scene::until_waiting(&scene.server, &other, 1).await;
    // Long enough for others to have their turn first.
    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.proxy.stall_requests(true);
    drop(guard);
    let error = unavailable(ended(waiter).await.0);
    assert!(error.contains("who holds the lock"), "{error}");
    scene.proxy.stall_requests(false);
    super::scene::granted(theirs).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// The same where this process has the lock on the server, and asks for a lease of another length for the next holder.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_whose_own_lease_is_never_answered_is_not_told_that_the_lock_is_held() {
    let scene = scene(|options| options.response_timeout(LIMIT)).await;
    let (guard, waiter) = holder_and_waiter(&scene, OTHER_TTL, WAIT).await;
    scene.proxy.stall_requests(true);
    drop(guard);
    // Nor is one who does not wait.
    let attempt = scene.lock(TTL);
    let attempt = tokio::spawn(async move { attempt.try_acquire(Duration::ZERO).await });
    unavailable(ended(waiter).await.0);
    assert!(!attempt.is_finished(), "it has no answer");
    scene.proxy.stall_requests(false);
    // Whatever the server says to it now, it is the server's word.
    drop(ended(attempt).await.unwrap());
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// A server that answers is heard, also by a caller whose time runs out just then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_answers_in_time_is_no_silent_one() {
    let scene = scene(|options| options).await;
    let other = super::scene::provider_at(scene.server.url());
    scene.proxy.delay(Duration::from_millis(10));
    for _ in 0..5 {
        let theirs = super::scene::lock(&other, NAME, TTL);
        let guard = scene.lock(TTL).acquire().await.unwrap();
        let next = wait_for(&theirs, LIMIT);
        super::scene::until_waiting(&scene.server, &other, 1).await;
        let name = resource(NAME);
        let waiters: Vec<_> = (30..90)
            .map(|time| {
                let lock = scene.lock(TTL);
                tokio::spawn(async move { lock.try_acquire(Duration::from_millis(time)).await.map(drop) })
            })
            .collect();
        until("they wait", SOON, || scene.provider.waiters(&name) > 0).await;
        drop(guard);
        let theirs = super::scene::granted(next).await;
        for waiter in waiters {
            // Granted, or held by the other process: never an outage.
            ended(waiter).await.unwrap();
        }
        theirs.release().await.unwrap();
        scene.until_clean(SOON).await;
    }
}
