//! Calls that reach the server late, after their connection was given up: none of them takes a lock, or makes a lease
//! shorter than is believed.

mod late_way;

use std::time::Duration;

use late_way::LateWay;
use orchestrix_locking::{DistributedLock, LockGuard, RedisLockOptions, RedisLockProvider};

use crate::lease_length::key_outlives;
use crate::outages::scene::{LIMIT, NAME, SOON, granted, lock, provider_at, unavailable, until, until_clean};
use crate::outages::scene::{until_it_works, until_waiting, wait_for};
use crate::support::RedisServer;

const LONG: Duration = Duration::from_secs(60);

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

/// A question that comes late, after all was released, takes no lock for good.
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
