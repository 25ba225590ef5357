//! Renewals that do not get through.

use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider, LockGuard, LockOptions};

use super::scene::{KEY, LIMIT, NAME, SOON, Scene, keys, resource, until, until_granted};
use crate::support::RedisServer;

const TTL: Duration = Duration::from_millis(1_500);

/// What the two clocks may differ by, and what the server rounds off.
const DRIFT: Duration = Duration::from_millis(17);

#[derive(Debug, Clone, Copy)]
enum Fault {
    StallBothWays,
    StallAnswers,
    DropRequests,
    DropAnswers,
}

impl Fault {
    const ALL: [Self; 4] = [Self::StallBothWays, Self::StallAnswers, Self::DropRequests, Self::DropAnswers];

    fn set(self, scene: &Scene, on: bool) {
        match self {
            Self::StallBothWays => scene.proxy.stall(on),
            Self::StallAnswers => scene.proxy.stall_answers(on),
            Self::DropRequests => scene.proxy.drop_requests(on),
            Self::DropAnswers => scene.proxy.drop_answers(on),
        }
    }
}

async fn held() -> (Scene, LockGuard) {
    let scene = Scene::with(RedisServer::start(), |options| options.response_timeout(Duration::from_millis(200)));
    // On a busy machine the first connection may take longer than that.
    let guard = until_granted(&scene.lock(TTL)).await;
    (scene, guard)
}

/// A fault that ends before the lease does costs nothing: renewals are tried until one gets through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_ends_before_the_lease_does_loses_nothing() {
    for fault in Fault::ALL {
        let (scene, guard) = held().await;
        let fence = guard.fencing_token();
        let mut lost = Box::pin(guard.lost());
        for _ in 0..2 {
            let end = guard.expires_at();
            fault.set(&scene, true);
            // Past the time at which the renewal is due, and then some.
            assert!(tokio::time::timeout(TTL * 7 / 10, &mut lost).await.is_err(), "{fault:?}: lost early");
            fault.set(&scene, false);
            until("a renewal gets through", TTL, || guard.expires_at() > end || !guard.is_held()).await;
            assert!(guard.is_held(), "{fault:?}");
            // Another lease begins, and its end moves on without a fault.
            let end = guard.expires_at();
            until("renewals go on", TTL, || guard.expires_at() > end).await;
        }
        assert_eq!(guard.fencing_token(), fence);
        assert!(keys(&scene.server).contains(&KEY.to_owned()), "{fault:?}: a renewal error releases nothing");
        guard.release().await.unwrap();
        scene.until_clean(SOON).await;
    }
}

/// A fault that lasts ends the lock at its deadline, not earlier and not later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_that_lasts_loses_the_lock_at_its_deadline() {
    for fault in Fault::ALL {
        let before = Instant::now();
        let (scene, guard) = held().await;
        let after = Instant::now();
        fault.set(&scene, true);
        tokio::time::timeout(LIMIT, guard.lost()).await.unwrap();
        let at = Instant::now();
        assert!(!guard.is_held());
        let held = at.duration_since(before);
        assert!(held + DRIFT >= TTL, "{fault:?}: lost after {held:?}");
        let held = at.duration_since(after);
        assert!(held + DRIFT < TTL + Duration::from_millis(100), "{fault:?}: lost after {held:?}");
        assert!(!guard.extend(TTL).await.unwrap(), "{fault:?}: what is lost stays lost");
        fault.set(&scene, false);
        drop(guard);
        scene.until_clean(SOON * 2).await;
        scene.works().await;
    }
}

/// The end of a lease that could not be renewed is not ours to hasten: until it ends by itself the key stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_error_releases_nothing() {
    let (scene, guard) = held().await;
    // What the server is sent is lost; only our own looks reach it.
    scene.proxy.drop_requests(true);
    while guard.is_held() {
        assert_eq!(keys(&scene.server), [KEY]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(guard);
    scene.proxy.drop_requests(false);
    scene.until_clean(SOON).await;
}

/// Nor is that of one that was cut off with its connection, though a release would get through on the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_that_was_cut_off_releases_nothing() {
    let (scene, guard) = held().await;
    let (end, run) = (guard.expires_at(), scene.server.scripts_run());
    scene.proxy.stall_answers(true);
    until("a renewal is under way", TTL, || scene.server.scripts_run() > run).await;
    scene.proxy.cut();
    scene.proxy.stall_answers(false);
    let gets_through = || {
        assert_eq!(keys(&scene.server), [KEY]);
        guard.expires_at() > end
    };
    until("the next renewal gets through", TTL, gets_through).await;
    assert!(guard.is_held());
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// A lock that is gone from the server is lost, and nothing that we do makes it anew: neither a renewal, nor an
/// extension, nor the look after a connection broke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_gone_is_lost_and_not_made_anew() {
    for step in ["extension", "look", "renewal"] {
        let scene = Scene::new();
        let ttl = if step == "renewal" { TTL } else { LIMIT };
        let options = LockOptions::default().ttl(ttl).auto_renew(step == "renewal");
        let guard = scene.provider.create_lock(resource(NAME), options).unwrap().acquire().await.unwrap();
        let end = guard.expires_at();
        let lost = tokio::spawn(guard.lost());
        scene.server.cli(&["DEL", KEY]);
        assert!(guard.is_held(), "no notification has come");
        match step {
            "extension" => assert!(!guard.extend(LIMIT).await.unwrap(), "{step}: there is nothing to extend"),
            "look" => scene.proxy.cut(),
            _ => {}
        }
        tokio::time::timeout(SOON, lost).await.expect("it is told").unwrap();
        assert!(tokio::time::Instant::now() < end, "{step}: it is told of the loss, and not by the end of the lease");
        assert_eq!(keys(&scene.server), [""; 0], "{step}");
        drop(guard);
        scene.until_clean(SOON).await;
    }
}

/// Connections that break again and again are no reason to lose a lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_outlives_many_connections() {
    let (scene, guard) = held().await;
    let until = Instant::now() + TTL * 2;
    while Instant::now() < until {
        scene.proxy.cut();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(guard.is_held());
    }
    guard.release().await.ok();
    scene.until_clean(SOON).await;
    scene.works().await;
}
