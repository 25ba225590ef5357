//! The server is stopped for longer than a lease while the lock is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::scene::{
    KEY, LIMIT, NAME, SOON, Scene, ended, lock, provider_at, unavailable, until_granted, until_waiting, wait_for,
};
use crate::support::RedisServer;

const TTL: Duration = Duration::from_millis(800);

fn scene() -> Scene {
    Scene::with(RedisServer::start(), |options| options.response_timeout(Duration::from_millis(300)))
}

/// Takes the lock as other programs do, with a patience that outlasts the stop.
async fn take(connection: &mut redis::aio::MultiplexedConnection) -> bool {
    let mut set = redis::cmd("SET");
    set.arg(KEY).arg("another").arg("NX").arg("PX").arg(60_000);
    set.query_async::<Option<String>>(connection).await.unwrap().is_some()
}

/// The loss is told before another caller can have the lock, and at no time does the guard believe in a lock that another
/// caller holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_loss_is_told_before_another_gets_the_lock() {
    let scene = scene();
    let mut plain = scene.server.connection().await;
    let guard = Arc::new(until_granted(&scene.lock(TTL)).await);
    let lost = {
        let lost = guard.lost();
        tokio::spawn(async move {
            lost.await;
            Instant::now()
        })
    };
    scene.server.stop();
    // In the server's buffer: the first thing that it does when it goes on.
    let taken = Arc::new(AtomicBool::new(false));
    let other = tokio::spawn({
        let (guard, taken) = (Arc::clone(&guard), Arc::clone(&taken));
        async move {
            while !take(&mut plain).await {}
            let believed = guard.is_held();
            taken.store(true, SeqCst);
            (believed, Instant::now(), plain)
        }
    });
    let lost = ended(lost).await;
    assert!(!guard.is_held() && !taken.load(SeqCst));
    // The key itself has ended only a little later.
    tokio::time::sleep(TTL / 20).await;
    scene.server.resume();
    let (believed, at, mut plain) = ended(other).await;
    assert!(!believed, "two believed in it");
    assert!(lost <= at);
    redis::cmd("DEL").arg(KEY).exec_async(&mut plain).await.unwrap();
    drop(guard);
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// The same at the edge: the server goes on at about the time at which the lease ends, before and after. Either the
/// lock is kept, or the holder knows that it is lost when another gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn at_the_edge_of_the_lease_it_is_kept_or_known_to_be_lost() {
    let scene = scene();
    let mut plain = scene.server.connection().await;
    for before_the_end in [120, 40, 10, 4, 1, 0] {
        let guard = until_granted(&scene.lock(TTL)).await;
        scene.server.stop();
        let resume_at = guard.expires_at() - Duration::from_millis(before_the_end);
        let trying = tokio::spawn(async move {
            let until = Instant::now() + TTL * 2;
            while Instant::now() < until {
                if take(&mut plain).await {
                    assert!(!guard.is_held(), "two believed in it");
                    redis::cmd("DEL").arg(KEY).exec_async(&mut plain).await.unwrap();
                    return (plain, guard);
                }
            }
            (plain, guard)
        });
        tokio::time::sleep_until(resume_at).await;
        scene.server.resume();
        let guard;
        (plain, guard) = ended(trying).await;
        drop(guard);
        scene.until_clean(SOON).await;
    }
    scene.works().await;
}

/// A waiter's answer while the server is silent: "another caller holds it" only for as long as the server's last reply
/// is fresh, and then that the holder is not known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_whose_time_runs_out_are_not_told_an_old_word() {
    let scene = scene();
    let other = provider_at(scene.server.url());
    let guard = lock(&other, NAME, LIMIT).acquire().await.unwrap();
    let begun = Instant::now();
    let times: Vec<_> = (5..50).map(|tenth| Duration::from_millis(100) * tenth).collect();
    let waiters: Vec<_> = times.iter().map(|time| wait_for(&scene.lock(TTL), *time)).collect();
    until_waiting(&scene.server, &scene.provider, waiters.len()).await;
    scene.server.stop();
    let stopped = begun.elapsed();
    for (time, waiter) in times.into_iter().zip(waiters) {
        let (answer, at) = ended(waiter).await;
        let late = at.duration_since(begun).saturating_sub(time);
        assert!(late < Duration::from_millis(150), "{late:?} late");
        // The server is asked again within a second, and has the response time-out to answer.
        if time > stopped + Duration::from_millis(1_300) {
            unavailable(answer);
        } else if let Ok(answer) = answer {
            assert!(answer.is_none());
        }
    }
    scene.server.resume();
    guard.release().await.unwrap();
    scene.until_clean(SOON).await;
    scene.works().await;
}

/// Waiters with time go on when the server does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_goes_on_when_the_server_does() {
    let scene = scene();
    let other = provider_at(scene.server.url());
    let guard = lock(&other, NAME, LIMIT).acquire().await.unwrap();
    let waiter = wait_for(&scene.lock(TTL), LIMIT);
    until_waiting(&scene.server, &scene.provider, 1).await;
    scene.server.stop();
    tokio::time::sleep(TTL * 2).await;
    scene.server.resume();
    guard.release().await.unwrap();
    super::scene::granted(waiter).await.release().await.unwrap();
    scene.until_clean(SOON).await;
}
