//! What locks cost, in commands to the backend: of providers whose subject can
//! [count them](super::Subject::commands).

use super::Subject;
use super::scene::{Scene, acquired, granted, kept, soon};

/// The most commands that an acquire of a free lock and its release may take: one each.
const CYCLE: u64 = 2;

/// The most commands that a hand-over may take, from one holder to the next: a release, a question of whoever is next,
/// and one more of those that go on waiting.
const HAND_OVER: u64 = 3;

/// A lock that nobody else wants is acquired and released with two commands.
pub async fn uncontended_cycle_keeps_its_budget(subject: impl Subject) {
    const CYCLES: u64 = 20;
    let scene = Scene::of(subject).await;
    let lock = scene.lock("budget");
    // What a provider does once, when it connects, is not counted.
    kept(acquired(&lock).await.release().await, "a held lock can be released");
    let Some(before) = scene.commands().await else { return };
    for _ in 0..CYCLES {
        kept(acquired(&lock).await.release().await, "a held lock can be released");
    }
    let sent = scene.commands().await.unwrap_or(before).saturating_sub(before);
    assert!(
        sent <= CYCLE * CYCLES,
        "a lock that nobody else wants costs {CYCLE} commands: {CYCLES} cycles cost {sent}"
    );
    scene.nothing_left().await;
}

/// What it costs to hand a lock on does not depend on how many wait for it: with 16 it costs no more than with 2.
pub async fn hand_over_keeps_its_budget(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    for waiters in [2, 16] {
        let Some(sent) = handed_over(&scene, waiters).await else { return };
        let most = HAND_OVER * waiters;
        assert!(
            sent <= most,
            "a hand-over costs at most {HAND_OVER} commands, however many wait: {waiters} of them cost {sent}"
        );
    }
    scene.nothing_left().await;
}

/// Hands a lock from each to the next of so many, each in a provider of its own where there can be several, and counts
/// the commands.
async fn handed_over<S: Subject>(scene: &Scene<S>, waiters: u64) -> Option<u64> {
    scene.commands().await?;
    let lock = scene.lock("budget");
    let mut holder = acquired(&lock).await;
    let mut line = Vec::new();
    while (line.len() as u64) < waiters {
        let lock = scene.lock_of_another("budget").await.unwrap_or_else(|| lock.clone());
        let place = line.len() + 1;
        line.push(scene.wait_in_line(&lock, place).await);
    }
    let before = scene.commands().await?;
    for next in line {
        kept(holder.release().await, "a held lock can be released");
        holder = granted(next, "waiters are served in the order in which they came").await;
    }
    let sent = scene.commands().await?.saturating_sub(before);
    kept(soon(holder.release(), "a release is answered").await, "a held lock can be released");
    Some(sent)
}
