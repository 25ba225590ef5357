//! P6 between processes: no waiter is overtaken more often than local hand-overs allow.
//!
//! All waiters of a process share one place in the server's queue, and a process that has the lock does not stand
//! there. So from when a task waits in process `p` until `p` is granted the lock, each other process can have it
//! once: from its place before `p`, or because it had it already. When it has let go it stands behind `p`. Meanwhile it
//! serves its own, late-comers too: who it is granted for, and then at most 32 turns, once it knows that others wait.
//! So at most 33 grants of one other process that were asked for after a task waited in `p` come before the next
//! grant of `p`; or before the waiter in `p` went without it, since `p` stood in the queue until then.
//!
//! What a process does not know yet it cannot heed: the message that others wait takes its time. Only what is asked for
//! after [`HEARD`] counts. A run of turns is also ended by a time, 5 ms; that only makes fewer of them.
//!
//! A server that restarts without its data has forgotten the queue, a connection that breaks delays a question: a wait
//! during which a fault touches either process, or was felt still, is not asked about. What is checked are pairs of a
//! wait and another process that served late-comers meanwhile, and no fault touched either. Since there is a fault of
//! the server nearly always, each round begins with a stretch without any.

use std::collections::HashMap;

use super::record::{Grant, Place, Resource};
use super::scene::{Scene, ms};
use super::verdict::Verdict;

/// The first of a run, and the turns after it.
const MOST: u32 = 33;

/// The way of a waiter's question to the server, and of the message to the holder, on a busy machine.
const HEARD: u64 = 250_000_000;

/// A task waits in a process, and the process is not granted the lock.
struct Wait {
    process: u32,
    waiting: u64,
    until: u64,
    begin: Place,
    end: Place,
    /// What others were granted since the process had it last, by their fences.
    from: usize,
    to: usize,
}

pub(super) fn judge(scene: &Scene<'_>, resource: usize, verdict: &mut Verdict) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    for wait in waits_for_grants(&record.grants).into_iter().chain(waits_in_vain(record)) {
        overtaken(scene, resource, &record.grants, &wait, verdict);
    }
}

fn overtaken(scene: &Scene<'_>, resource: usize, grants: &[Grant], wait: &Wait, verdict: &mut Verdict) {
    let heard = wait.waiting.saturating_add(HEARD);
    if wait.until <= heard {
        return;
    }
    let mut counts: HashMap<u32, (u32, Place)> = HashMap::new();
    for other in grants.get(wait.from..wait.to).unwrap_or_default() {
        if other.began > heard && other.granted < wait.until && other.process != wait.process {
            let count = counts.entry(other.process).or_default();
            *count = (count.0 + 1, other.begin);
        }
    }
    let touched = |process| scene.touch(resource, process, wait.waiting, wait.until);
    let is_touched = touched(wait.process);
    for (process, (count, last)) in counts {
        let excused = is_touched || touched(process);
        if excused {
            verdict.figures.overtaking_undecided += 1;
        } else {
            verdict.overtaking.checked += 1;
            verdict.figures.most_overtaken = verdict.figures.most_overtaken.max(u64::from(count));
        }
        if count > MOST {
            verdict.overtaking.found(excused, || {
                let what = format!(
                    "process {} waited for {} while process {process} was granted the lock {count} times for callers \
                     that came later",
                    wait.process,
                    ms(wait.until - wait.waiting),
                );
                scene.about(resource, what, &[wait.begin, last, wait.end])
            });
        }
    }
}

/// Of each grant: since a task of its process had waited that had not been granted the lock before.
fn waits_for_grants(grants: &[Grant]) -> Vec<Wait> {
    let mut latest: HashMap<u32, usize> = HashMap::new();
    let mut waits = Vec::new();
    for (index, (grant, first)) in grants.iter().zip(first_waiting(grants)).enumerate() {
        let from = latest.insert(grant.process, index).map_or(0, |last| last + 1);
        let Some((waiting, begin)) = first else { continue };
        let (process, until) = (grant.process, grant.granted);
        waits.push(Wait { process, waiting, until, begin, end: grant.made, from, to: index });
    }
    waits
}

/// Of each who waited and went without it: since its process had it last.
fn waits_in_vain(record: &Resource) -> Vec<Wait> {
    let mut of_process: HashMap<u32, Vec<usize>> = HashMap::new();
    for (index, grant) in record.grants.iter().enumerate() {
        of_process.entry(grant.process).or_default().push(index);
    }
    let mut waits = Vec::new();
    for other in &record.tries {
        let own = of_process.get(&other.process).map(Vec::as_slice).unwrap_or_default();
        let before =
            own.partition_point(|index| record.grants.get(*index).is_some_and(|grant| grant.granted < other.left));
        let from = before.checked_sub(1).and_then(|last| own.get(last)).map_or(0, |last| last + 1);
        waits.push(Wait {
            process: other.process,
            waiting: other.waiting,
            until: other.left,
            begin: other.begin,
            end: other.end,
            from,
            to: own.get(before).copied().unwrap_or(record.grants.len()),
        });
    }
    waits
}

/// Of each grant: since when a task of its process had waited that had not been granted the lock before, and where
/// that began.
fn first_waiting(grants: &[Grant]) -> Vec<Option<(u64, Place)>> {
    let mut of_process: HashMap<u32, (u64, Place)> = HashMap::new();
    let mut waits = Vec::with_capacity(grants.len());
    for grant in grants.iter().rev() {
        if let Some(waiting) = grant.waiting.filter(|_| !grant.at_once) {
            let first = of_process.entry(grant.process).or_insert((waiting, grant.begin));
            if waiting < first.0 {
                *first = (waiting, grant.begin);
            }
        }
        waits.push(of_process.get(&grant.process).copied());
    }
    waits.reverse();
    waits
}
