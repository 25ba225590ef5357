//! How many commands locks cost, for providers whose subject can [count them](super::Subject::commands).

use super::Subject;
use super::scene::{Scene, acquired, granted, kept, soon};

/// The most commands that an acquire of a free lock and its release may take: one each.
const CYCLE: u64 = 2;

/// The most commands that a hand-over may take: a release, a command of the next holder, and one of the other waiters.
const HAND_OVER: u64 = 3;

/// An uncontended lock is acquired and released with two commands.
pub async fn uncontended_cycle_keeps_its_budget(subject: impl Subject) {
    const CYCLES: u64 = 20;
    let scene = Scene::of(subject).await;
    let lock = scene.lock("budget");
    // The commands of the first connection are not counted.
    kept(acquired(&lock).await.release().await, "a held lock can be released");
    let Some(before) = scene.commands().await else { return };
    for _ in 0..CYCLES {
        kept(acquired(&lock).await.release().await, "a held lock can be released");
    }
    let sent = scene.commands().await.unwrap_or(before).saturating_sub(before);
    assert!(sent <= CYCLE * CYCLES, "an uncontended lock costs {CYCLE} commands: {CYCLES} cycles cost {sent}");
    scene.nothing_left().await;
}

/// The cost of a hand-over does not depend on the number of waiters: 16 cost no more than 2.
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

/// Hands a lock over from waiter to waiter, and counts the commands. Each waiter has a provider of its own if the subject
/// supports several.
async fn handed_over<S: Subject>(scene: &Scene<S>, waiters: u64) -> Option<u64> {
    scene.commands().await?;
    let lock = scene.lock("budget");
    let mut holder = acquired(&lock).await;
    let mut tasks = Vec::new();
    while (tasks.len() as u64) < waiters {
        let lock = scene.lock_of_another("budget").await.unwrap_or_else(|| lock.clone());
        let place = tasks.len() + 1;
        tasks.push(scene.spawn_waiter(&lock, place).await);
    }
    let before = scene.commands().await?;
    for next in tasks {
        kept(holder.release().await, "a held lock can be released");
        holder = granted(next, "waiters are served in the order in which they came").await;
    }
    let sent = scene.commands().await?.saturating_sub(before);
    kept(soon(holder.release(), "a release is answered").await, "a held lock can be released");
    Some(sent)
}
