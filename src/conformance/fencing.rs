//! Tokens rise with every grant of a name, however the grant before it ended.

use super::Subject;
use super::scene::{SHORT, Scene, acquired, granted, kept, lease, soon};
use crate::FencingToken;

/// After releases and drops, also with other names in between.
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
        // The name may be forgotten, its last token may not.
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

/// After guards that were leaked and acquires that were abandoned.
pub async fn fences_rise_over_abandonment(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock_with("fenced", lease(SHORT));
    let mut highest = None;
    let leaked = acquired(&lock).await;
    rises(&mut highest, leaked.fencing_token(), "abandonment");
    // A holder that dies tells nobody.
    std::mem::forget(leaked);
    let patient = scene.lock("fenced");
    for _ in 0..3 {
        let guard = acquired(&patient).await;
        rises(&mut highest, guard.fencing_token(), "abandonment");
        let mut waiting = Box::pin(patient.acquire());
        scene.line_up(&mut waiting, &patient, 1).await;
        kept(guard.release().await, "a held lock can be released");
        drop(waiting);
    }
    scene.nothing_left().await;
}

/// From each holder to the next in line.
pub async fn fences_rise_along_a_queue(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("fenced");
    let mut holder = acquired(&lock).await;
    let mut highest = None;
    rises(&mut highest, holder.fencing_token(), "hand-over");
    let mut line = Vec::new();
    for place in 1..=5 {
        line.push(scene.wait_in_line(&lock, place).await);
    }
    for next in line {
        kept(holder.release().await, "a held lock can be released");
        holder = granted(next, "waiters are served").await;
        rises(&mut highest, holder.fencing_token(), "hand-over");
    }
}

fn rises(highest: &mut Option<FencingToken>, token: FencingToken, over: &str) {
    let before = *highest;
    assert!(before < Some(token), "fencing tokens rise strictly over {over}: {token} came after {before:?}");
    *highest = Some(token);
}
