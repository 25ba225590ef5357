//! Renewals that do not get through.

use std::time::{Duration, Instant};

use orchestrix_locking::LockGuard;

use super::scene::{KEY, LIMIT, SOON, Scene, keys, until};
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
    let guard = scene.lock(TTL).acquire().await.unwrap();
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
