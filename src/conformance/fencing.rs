//! Tokens rise with every grant of a name, however the previous grant ended.

use std::time::Duration;

use tokio::time::Instant;

use super::Subject;
use super::scene::{LONG, SHORT, Scene, TIME_LIMIT, acquired, granted, kept, lease, soon};
use crate::{DistributedLock, FencingToken, LockGuard, Resource};

/// After releases and drops, also with grants of other names in between.
pub async fn fences_rise_over_releases(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("fenced");
    let mut highest = None;
    for round in 0..10 {
        let guard = acquired(&lock).await;
        rises(&mut highest, guard.fencing_token(), "release");
        if round % 2 == 0 {
            kept(guard.release().await, "a held lock can be released");
        } else {
            drop(guard);
            drop(acquired(&scene.lock("another")).await);
        }
        // The provider may forget the name, but not its last token.
        scene.nothing_left().await;
    }
}

/// After leases that ended.
pub async fn fences_rise_over_expiry(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("fenced", lease(SHORT));
    let mut highest = None;
    let mut late = Vec::new();
    for _ in 0..3 {
        let guard = acquired(&lock).await;
        rises(&mut highest, guard.fencing_token(), "expiry");
        soon(guard.lost(), "a lease that is not renewed ends").await;
        assert_eq!(Some(guard.fencing_token()), highest, "a guard keeps its token");
        late.push(guard);
    }
}

/// After leaked guards and abandoned acquires.
pub async fn fences_rise_over_abandonment(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("fenced", lease(SHORT));
    let mut highest = None;
    let leaked = acquired(&lock).await;
    rises(&mut highest, leaked.fencing_token(), "abandonment");
    // A holder that dies releases nothing.
    std::mem::forget(leaked);
    let patient = scene.lock("fenced");
    for _ in 0..3 {
        let guard = acquired(&patient).await;
        rises(&mut highest, guard.fencing_token(), "abandonment");
        let mut waiting = Box::pin(patient.acquire());
        scene.poll_until_queued(&mut waiting, &patient, 1).await;
        kept(guard.release().await, "a held lock can be released");
        drop(waiting);
    }
    scene.nothing_left().await;
}

/// From each holder to the next waiter.
pub async fn fences_rise_along_a_queue(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("fenced");
    let mut holder = acquired(&lock).await;
    let mut highest = None;
    rises(&mut highest, holder.fencing_token(), "hand-over");
    let mut waiters = Vec::new();
    for place in 1..=5 {
        waiters.push(scene.spawn_waiter(&lock, place).await);
    }
    for next in waiters {
        kept(holder.release().await, "a held lock can be released");
        holder = granted(next, "waiters are served").await;
        rises(&mut highest, holder.fencing_token(), "hand-over");
    }
}

/// Over a restart of the backend, also if all of its data was lost.
pub async fn fences_rise_over_a_restart(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let mut highest = None;
    for _ in 0..3 {
        let guard = acquired(&scene.lock("fenced")).await;
        rises(&mut highest, guard.fencing_token(), "release");
        drop(guard);
        scene.nothing_left().await;
    }
    let Some(provider) = scene.restarted().await else { return };
    let resource = kept(Resource::try_from("fenced"), "a plain name is a resource");
    let lock = kept(provider.create_lock(resource, lease(LONG)), "options within their ranges are taken");
    let guard = acquired_after_restart(&lock).await;
    rises(&mut highest, guard.fencing_token(), "a restart");
}

/// Acquires the lock as soon as the backend is back.
async fn acquired_after_restart(lock: &DistributedLock) -> LockGuard {
    let asked = Instant::now();
    loop {
        match lock.try_acquire(TIME_LIMIT).await {
            Ok(Some(guard)) => return guard,
            answer => assert!(asked.elapsed() < TIME_LIMIT, "a backend that is back grants locks: it was {answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn rises(highest: &mut Option<FencingToken>, token: FencingToken, over: &str) {
    let before = *highest;
    assert!(before < Some(token), "fencing tokens rise strictly over {over}: {token} came after {before:?}");
    *highest = Some(token);
}
