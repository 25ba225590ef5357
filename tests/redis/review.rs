//! A lease is never believed to be longer than its key lives, and nothing comes back late, whatever the order in
//! which calls reach the server.

mod late;

use std::time::Duration;

use late::LateWay;
use orchestrix_locking::{DistributedLock, LockGuard, RedisLockOptions, RedisLockProvider};
use redis::cmd;

use crate::outages::scene::{KEY, LIMIT, NAME, SOON, Scene, lock, provider_at, unavailable, until, until_clean};
use crate::outages::scene::{granted, until_it_works, until_waiting, wait_for};
use crate::support::RedisServer;

const LONG: Duration = Duration::from_secs(60);

/// What the key has to live, by the server. Zero if there is none.
fn key_lives(server: &RedisServer) -> Duration {
    let left: i64 = server.ask(cmd("PTTL").arg(KEY));
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

#[track_caller]
fn key_outlives(server: &RedisServer, guard: &LockGuard) {
    // In this order: time passes between the two looks.
    let believed = guard.remaining();
    let lives = key_lives(server);
    assert!(believed <= lives + Duration::from_millis(5), "believed: {believed:?}, but the key lives {lives:?}");
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
    let scene = Scene::new();
    let guard = scene.lock(LONG).acquire().await.unwrap();
    let next = wait_for(&scene.lock(LONG), LIMIT);
    let name = crate::outages::scene::resource(NAME);
    until("one waits", SOON, || scene.provider.waiters(&name) == 1).await;
    scene.proxy.delay_answers(Duration::from_millis(600));
    let mut extending = Box::pin(guard.extend(SHORTER));
    assert!(futures_util::poll!(&mut extending).is_pending());
    drop(extending);
    drop(guard);
    let other = provider_at(scene.server.url());
    let theirs = lock(&other, NAME, LONG).acquire().await.unwrap();
    if next.is_finished() {
        let (mine, _) = next.await.unwrap();
        let held = mine.unwrap().is_some_and(|mine| mine.is_held());
        assert!(!(held && theirs.is_held()), "two hold it");
    }
}

/// A provider whose way lets the calls of its first connection arrive late.
struct Late {
    provider: RedisLockProvider,
    way: LateWay,
    server: RedisServer,
}

impl Late {
    async fn new() -> Self {
        let server = RedisServer::start();
        let way = LateWay::to(server.port());
        let options =
            RedisLockOptions::default().connection_string(way.url()).response_timeout(Duration::from_millis(200));
        let provider = RedisLockProvider::new(options).unwrap();
        lock(&provider, "warm", LIMIT).acquire().await.unwrap().release().await.unwrap();
        Self { provider, way, server }
    }

    fn lock(&self, ttl: Duration) -> DistributedLock {
        lock(&self.provider, NAME, ttl)
    }

    /// Waits until a call was held back, and its connection replaced.
    async fn until_replaced(&self) {
        until("a call is late", LIMIT, || self.way.held() > 0).await;
        until("there is another connection", LIMIT, || self.way.accepted() >= 2).await;
        until_it_works(&lock(&self.provider, "warm", LIMIT)).await;
    }

    /// Lets the late calls arrive, and waits until the server has run them.
    async fn let_them_arrive(&self) {
        let before = self.server.scripts_run();
        self.way.hold(false);
        until("they ran", SOON, || self.server.scripts_run() > before).await;
    }
}

/// A renewal of a connection that was given up does not take back an extension.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_renewal_does_not_shorten_an_extended_lease() {
    let late = Late::new().await;
    let guard = late.lock(Duration::from_secs(3)).acquire().await.unwrap();
    late.way.hold(true);
    late.until_replaced().await;
    assert!(guard.extend(LONG).await.unwrap());
    late.let_them_arrive().await;
    key_outlives(&late.server, &guard);
}

/// Nor does a question that was asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_question_does_not_shorten_an_extended_lease() {
    let late = Late::new().await;
    let (guard, _) = granted_with_a_late_question(&late).await;
    assert!(guard.extend(LONG).await.unwrap());
    late.let_them_arrive().await;
    key_outlives(&late.server, &guard);
}

/// An extension that was given up may come late, and shorten what was asked for since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_extension_to_a_shorter_lease_is_reckoned_with() {
    let late = Late::new().await;
    let guard = late.lock(LONG).acquire().await.unwrap();
    late.way.hold(true);
    unavailable(guard.extend(LONG / 6).await);
    late.until_replaced().await;
    _ = guard.extend(LONG * 2).await;
    late.let_them_arrive().await;
    key_outlives(&late.server, &guard);
}

/// A question that comes late, after all was released, takes no lock that nobody knows of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_question_takes_no_lock_for_good() {
    let late = Late::new().await;
    let (guard, other) = granted_with_a_late_question(&late).await;
    guard.release().await.unwrap();
    late.let_them_arrive().await;
    until_clean(&late.server, &late.provider, SOON).await;
    drop(other);
}

/// The same where the waiter has gone before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_question_of_a_waiter_who_left_takes_no_lock_for_good() {
    let late = Late::new().await;
    let other = provider_at(late.server.url());
    let held = lock(&other, NAME, LONG).acquire().await.unwrap();
    let waiter = wait_for(&late.lock(LONG), LIMIT);
    until_waiting(&late.server, &late.provider, 1).await;
    late.way.hold(true);
    late.until_replaced().await;
    waiter.abort();
    assert!(waiter.await.is_err());
    until("it left", SOON, || late.provider.is_empty()).await;
    held.release().await.unwrap();
    late.let_them_arrive().await;
    until_clean(&late.server, &late.provider, SOON).await;
}

/// A guard that was waited for, with one question on its way that the server has not had.
async fn granted_with_a_late_question(late: &Late) -> (LockGuard, RedisLockProvider) {
    let other = provider_at(late.server.url());
    let held = lock(&other, NAME, LONG).acquire().await.unwrap();
    let waiter = wait_for(&late.lock(LONG / 4), LIMIT);
    until_waiting(&late.server, &late.provider, 1).await;
    late.way.hold(true);
    late.until_replaced().await;
    held.release().await.unwrap();
    (granted(waiter).await, other)
}
