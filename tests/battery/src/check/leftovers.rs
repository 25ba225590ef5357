//! P5: when all faults are healed and every task has let go, nothing is left, and each lock is free within a lease.
//!
//! Leases end by themselves, and clean up after a task that forgot to. So the processes that live are asked for rest first,
//! and some names have leases that are much longer than a round: of these nothing may be left then that is theirs, as
//! an acquire that was cancelled, or whose answer was lost, has to be taken back.
//!
//! Excused in a round in which a replica took its primary's place without the latest writes: releases were among them.

use super::scene::{Scene, ms};
use super::verdict::Judged;

/// Beyond the longest lease. What a server refused for long is taken back within a second of its recovery, and a new
/// process has to connect and to take the lock.
const ALLOWED: u64 = 2_000_000_000;

pub(super) fn judge(scene: &Scene<'_>, judged: &mut Judged) {
    let excused = scene.round.faults.lost_writes();
    for left in &scene.round.lefts {
        judged.checked += 1;
        if !left.keys.is_empty() || left.locks > 0 || left.waiters > 0 {
            judged.found(excused, || {
                let some: Vec<&str> = left.keys.iter().take(5).map(String::as_str).collect();
                let what = format!(
                    "left over: {} keys ({}), {} locks, {} waiters",
                    left.keys.len(),
                    some.join(", "),
                    left.locks,
                    left.waiters
                );
                scene.finding(what, &[left.place])
            });
        }
    }
    for undone in &scene.round.undone {
        judged.checked += 1;
        if !undone.left.is_empty() {
            judged.found(excused, || {
                let some: Vec<&str> = undone.left.iter().take(5).map(String::as_str).collect();
                let what = format!(
                    "{} were not taken back for processes that live and are at rest ({})",
                    undone.left.len(),
                    some.join(", ")
                );
                scene.finding(what, &[undone.place])
            });
        }
    }
    for free in &scene.round.frees {
        judged.checked += 1;
        let most = scene.operations.lease_of(&free.resource) + ALLOWED;
        if free.after > most {
            judged.found(excused, || {
                let what = format!(
                    "{}: free only after {}; the longest lease, and what is allowed beyond, are {}",
                    free.resource,
                    ms(free.after),
                    ms(most)
                );
                scene.finding(what, &[free.place])
            });
        }
    }
}
