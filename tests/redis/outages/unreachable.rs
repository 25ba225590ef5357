//! Acquiring from a server that is not there, does not answer, or is far away.

use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLock, RedisLockOptions, RedisLockProvider};

use super::scene::{
    LIMIT, SOON, Scene, granted, keys, lock, provider_at, unavailable, until_clean, until_it_works, wait_for,
};
use crate::support::RedisServer;

/// In a connection string, it must not get out of it.
const CANARY: &str = "c4n4ry";

const TTL: Duration = Duration::from_secs(5);

/// A server that has gone is waited for within the caller's own time, the response time-out at least: another may take its
/// place. The error says who refused, what, and since when, and nothing of the password.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_gone_is_waited_for_in_the_callers_time() {
    let server = RedisServer::builder().password(CANARY).start();
    let timeout = Duration::from_millis(400);
    let options = RedisLockOptions::default().connection_string(server.url()).response_timeout(timeout);
    let provider = RedisLockProvider::new(options).unwrap();
    let lock = lock(&provider, "order:1", TTL);
    lock.acquire().await.unwrap().release().await.unwrap();
    server.kill();
    for wait in [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(900), Duration::ZERO] {
        let begun = Instant::now();
        let answer = lock.try_acquire(wait).await;
        let took = begun.elapsed();
        let debug = format!("{answer:?}");
        let text = unavailable(answer);
        let least = wait.max(timeout);
        assert!(took + Duration::from_millis(30) >= least && took < least + Duration::from_millis(400), "{took:?}");
        assert!(text.contains(&format!("127.0.0.1:{}", server.port())), "{text}");
        assert!(text.contains("onnection refused") && text.contains("connecting"), "{text}");
        assert!(text.contains("without a connection for"), "{text}");
        assert!(!text.contains(CANARY) && !debug.contains(CANARY), "{text} {debug}");
    }
    assert!(!format!("{provider:?} {lock:?}").contains(CANARY));
    // Callers with time wait for the server, however many there are.
    let waiting: Vec<_> = (0..50).map(|number| wait_for(&locked(&provider, number), LIMIT)).collect();
    tokio::time::sleep(timeout).await;
    server.start_again();
    for task in waiting {
        granted(task).await.release().await.unwrap();
    }
    until_clean(&server, &provider, SOON).await;
}

fn locked(provider: &RedisLockProvider, number: usize) -> DistributedLock {
    lock(provider, &format!("order:{number}"), TTL)
}

/// Where there never was a connection, a refused one is told at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_never_there_is_told_at_once() {
    let server = RedisServer::start();
    server.kill();
    let provider = provider_at(format!("redis://:{CANARY}@127.0.0.1:{}", server.port()));
    for wait in [Duration::ZERO, Duration::from_millis(50), LIMIT] {
        let begun = Instant::now();
        let text = unavailable(lock(&provider, "order:1", TTL).try_acquire(wait).await);
        assert!(begun.elapsed() < Duration::from_millis(300), "{:?}", begun.elapsed());
        assert!(text.contains("onnection refused") && text.contains(&server.port().to_string()), "{text}");
        assert!(!text.contains(CANARY), "{text}");
    }
    assert_eq!(provider.len(), 0);
}

/// A server that is silent costs a caller the response time-out and no more, whether there was a connection or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_costs_the_response_time_out() {
    let server = RedisServer::start();
    let timeout = Duration::from_millis(400);
    for warm in [true, false] {
        let options = RedisLockOptions::default().connection_string(server.url()).response_timeout(timeout);
        let provider = RedisLockProvider::new(options).unwrap();
        let lock = lock(&provider, "order:1", TTL);
        if warm {
            lock.acquire().await.unwrap().release().await.unwrap();
        }
        server.stop();
        let begun = Instant::now();
        let text = unavailable(lock.try_acquire(LIMIT).await);
        let took = begun.elapsed();
        assert!(took + Duration::from_millis(50) >= timeout && took < timeout + SOON / 2, "{took:?}");
        assert!(text.contains(&format!("127.0.0.1:{}", server.port())), "{text}");
        server.resume();
        until_it_works(&lock).await;
        until_clean(&server, &provider, LIMIT).await;
    }
}

/// A caller's own time counts also while the server is silent, and then the holder is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_wait_ends_on_time_though_the_server_is_silent() {
    let scene = Scene::new();
    scene.warm().await;
    scene.server.stop();
    for _ in 0..10 {
        let time = Duration::from_millis(50);
        let begun = Instant::now();
        let text = unavailable(scene.lock(TTL).try_acquire(time).await);
        let took = begun.elapsed();
        assert!(took < time + Duration::from_millis(100), "{took:?}: {text}");
        assert!(text.contains(&format!("127.0.0.1:{}", scene.proxy.port())), "{text}");
    }
    scene.server.resume();
    scene.until_clean(TTL).await;
    scene.works().await;
}

/// What was asked of a silent server and given up is taken back when it wakes up, however late that is: no lock, and
/// no place in a queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_taken_back_however_long_the_server_was_silent() {
    let scene = Scene::with(RedisServer::start(), |options| options.response_timeout(Duration::from_millis(200)));
    let other = provider_at(scene.server.url());
    let held = lock(&other, super::scene::NAME, LIMIT).acquire().await.unwrap();
    scene.warm().await;
    scene.server.stop();
    let ttl = Duration::from_millis(300);
    let time = Duration::from_millis(50);
    unavailable(scene.lock(ttl).try_acquire(time).await);
    unavailable(lock(&scene.provider, "free", LIMIT).try_acquire(time).await);
    // Far longer than lease and response time-out.
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.server.resume();
    super::scene::until("only the other's lock is left", SOON, || keys(&scene.server) == [super::scene::KEY]).await;
    held.release().await.unwrap();
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// A server far away: who has no time for the way is told on time and leaves nothing, who has gets the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_is_no_outage_for_callers_who_have_the_time() {
    let scene = Scene::new();
    scene.warm().await;
    scene.proxy.delay(Duration::from_millis(100));
    let lock = scene.lock(TTL);
    for _ in 0..3 {
        let time = Duration::from_millis(50);
        let begun = Instant::now();
        unavailable(lock.try_acquire(time).await);
        assert!(begun.elapsed() < time + Duration::from_millis(100), "{:?}", begun.elapsed());
    }
    scene.until_clean(SOON).await;
    let guard = lock.acquire().await.unwrap();
    assert!(guard.is_held());
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
}

/// The same without a connection, which takes several ways to and fro.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_is_no_outage_for_the_first_caller() {
    let scene = Scene::with(RedisServer::start(), |options| options.response_timeout(Duration::from_secs(5)));
    scene.proxy.delay(Duration::from_millis(100));
    let begun = Instant::now();
    unavailable(scene.lock(TTL).try_acquire(Duration::from_millis(50)).await);
    assert!(begun.elapsed() < Duration::from_millis(150), "{:?}", begun.elapsed());
    let guard = scene.lock(TTL).acquire().await.unwrap();
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
}
