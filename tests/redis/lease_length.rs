//! A lease is never believed to be longer than its key lives: neither a grant, an extension, a renewal nor a hand-over.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use orchestrix_locking::LockGuard;
use redis::cmd;

use crate::outages::scene::{KEY, LIMIT, NAME, SOON, Scene, granted, lock, provider_at, resource, until, until_clean};
use crate::outages::scene::{until_waiting, wait_for};
use crate::support::RedisServer;

const LONG: Duration = Duration::from_secs(60);

/// What the key has to live, by the server. Zero if there is none.
fn key_lives(server: &RedisServer) -> Duration {
    let left: i64 = server.ask(cmd("PTTL").arg(KEY));
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

#[track_caller]
pub(crate) fn key_outlives(server: &RedisServer, guard: &LockGuard) {
    // In this order: time passes between the two looks.
    let believed = guard.remaining();
    let lives = key_lives(server);
    assert!(believed <= lives + Duration::from_millis(5), "believed: {believed:?}, but the key lives {lives:?}");
    // A lost lease would satisfy the bound as well.
    assert!(guard.is_held(), "the lock is lost, and the key lives {lives:?}");
}

/// The time that an answer takes is no part of a lease: a grant, an extension and a renewal count from before their
/// command was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_of_an_answer_is_no_part_of_the_lease() {
    const TTL: Duration = Duration::from_millis(2_500);
    let scene = Scene::new();
    scene.warm().await;
    scene.proxy.delay_answers(Duration::from_millis(300));
    for wait in [Duration::ZERO, LIMIT] {
        let guard = scene.lock(TTL).try_acquire(wait).await.unwrap().expect("the lock is free");
        key_outlives(&scene.server, &guard);
        let granted = guard.expires_at();
        until("it is renewed", TTL, || guard.expires_at() > granted).await;
        key_outlives(&scene.server, &guard);
        assert!(guard.extend(TTL * 2).await.unwrap());
        key_outlives(&scene.server, &guard);
        guard.release().await.unwrap();
    }
    scene.until_clean(SOON).await;
}

/// Two clocks may differ by a hundredth: a lease ends that much before its key, whether it was granted, extended or
/// handed over by another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_ends_before_its_key_by_what_clocks_may_differ() {
    let ends_before = |server: &RedisServer, guard: &LockGuard, lease: Duration| {
        // In this order: what passes between the two looks makes what is believed less.
        let lives = key_lives(server);
        let believed = guard.remaining();
        assert!(believed + lease / 100 <= lives, "believed: {believed:?}, and the key lives {lives:?}");
        assert!(believed > lease / 2, "and it is a lease of use: {believed:?}");
    };
    let scene = Scene::new();
    let other = provider_at(scene.server.url());
    let guard = scene.lock(LONG).acquire().await.unwrap();
    ends_before(&scene.server, &guard, LONG);
    assert!(guard.extend(LONG * 5).await.unwrap());
    ends_before(&scene.server, &guard, LONG * 5);
    let waiter = wait_for(&lock(&other, NAME, LONG), LIMIT);
    until_waiting(&scene.server, &other, 1).await;
    guard.release().await.unwrap();
    let guard = granted(waiter).await;
    // The claim lease, until the first renewal.
    ends_before(&scene.server, &guard, Duration::from_secs(5));
    until("it is renewed", LIMIT, || guard.remaining() > LONG / 2).await;
    ends_before(&scene.server, &guard, LONG);
    guard.release().await.unwrap();
    until_clean(&scene.server, &other, SOON).await;
}

/// While the answer to an extension to a shorter lease is on its way, the earlier end is believed in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_extension_to_a_shorter_lease_is_believed_in_before_its_answer() {
    const SHORTER: Duration = Duration::from_millis(100);
    let scene = Scene::new();
    let guard = scene.lock(LONG).acquire().await.unwrap();
    let handle = guard.handle();
    scene.proxy.delay_answers(Duration::from_millis(600));
    let extending = tokio::spawn(async move { guard.extend(SHORTER).await });
    let other = provider_at(scene.server.url());
    let theirs = lock(&other, NAME, LONG).acquire().await.unwrap();
    assert!(!handle.is_held(), "two hold it: one believes in {:?} yet", handle.remaining());
    assert!(theirs.is_held());
    assert!(!extending.await.unwrap().unwrap());
}

/// The same for the next holder of this process, who gets the lock while the extension is on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_during_an_extension_to_a_shorter_lease_believes_in_the_shorter() {
    const SHORTER: Duration = Duration::from_millis(100);
    const DELAY: Duration = Duration::from_millis(600);
    let scene = Scene::new();
    let guard = scene.lock(LONG).acquire().await.unwrap();
    let mut next = wait_for(&scene.lock(LONG), LIMIT);
    let name = resource(NAME);
    until("one waits", SOON, || scene.provider.waiters(&name) == 1).await;
    scene.proxy.delay_answers(DELAY);
    let mut extending = Box::pin(guard.extend(SHORTER));
    assert!(futures_util::poll!(&mut extending).is_pending());
    drop(extending);
    drop(guard);
    let other = provider_at(scene.server.url());
    let theirs = lock(&other, NAME, LONG).acquire().await.unwrap();
    // Until the delayed replies are there, the one that grants the lock to the next holder among them.
    let mut mine = None;
    let begun = Instant::now();
    while begun.elapsed() < DELAY + DELAY / 2 {
        if mine.is_none() {
            mine = (&mut next).now_or_never().map(|ended| ended.unwrap().0.unwrap().expect("granted in time"));
        }
        assert!(theirs.is_held());
        assert!(!mine.as_ref().is_some_and(LockGuard::is_held), "two hold it");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let theirs_fence = theirs.fencing_token();
    theirs.release().await.unwrap();
    match mine {
        Some(mine) => assert!(mine.fencing_token() < theirs_fence, "it was granted before, and its lease was over"),
        None => assert!(granted(next).await.fencing_token() > theirs_fence),
    }
}
