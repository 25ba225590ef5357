//! P6 between processes: nobody is overtaken beyond what local turns allow.
//!
//! All waiters of a process share one place in the server's queue, and a process that has the lock does not stand
//! there. So from when somebody waits in process `p` until `p` is granted the lock, each other process can have it
//! once: from its place before `p`, or because it had it already. When it has let go it stands behind `p`. Meanwhile it
//! serves its own, late-comers too: who it is granted for, and then at most 32 turns, once it knows that others wait.
//! So at most 33 grants of one other process that were asked for after somebody waited in `p` come before the next
//! grant of `p`.
//!
//! What a process does not know yet it cannot heed: the message that others wait takes its time. Only what is asked for
//! after [`HEARD`] counts. A run of turns is also ended by a time, 5 ms; that only makes fewer of them.
//!
//! A server that restarts without its data has forgotten the queue, a connection that breaks delays a question: a wait
//! during which a fault touches either process, or was felt still, is not asked about.

use std::collections::HashMap;

use super::record::Grant;
use super::scene::{Scene, ms};
use super::verdict::Verdict;

/// The first of a run, and the turns after it.
const MOST: u32 = 33;

/// The way of a waiter's question to the server, and of the message to whoever has the lock, on a busy machine.
const HEARD: u64 = 500_000_000;

pub(super) fn judge(scene: &Scene<'_>, resource: usize, verdict: &mut Verdict) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    let grants = &record.grants;
    let waits = first_waiting(grants);
    let mut latest: HashMap<u32, usize> = HashMap::new();
    let mut counts: HashMap<u32, (u32, usize)> = HashMap::new();
    for (index, (grant, waits)) in grants.iter().zip(waits).enumerate() {
        let since = latest.insert(grant.process, index).map_or(0, |last| last + 1);
        let Some((waiting, waiter)) = waits else { continue };
        let heard = waiting.saturating_add(HEARD);
        if grant.granted <= heard {
            continue;
        }
        verdict.order.checked += 1;
        counts.clear();
        let between = grants.get(since..index).unwrap_or_default().iter().enumerate().rev();
        for (offset, other) in between.take_while(|(_, other)| other.granted > heard) {
            if other.began > heard {
                counts.entry(other.process).or_insert((0, since + offset)).0 += 1;
            }
        }
        for (process, (count, last)) in &counts {
            let touched = |process| scene.round.faults.touch(process, waiting, grant.granted);
            if touched(*process) || touched(grant.process) {
                continue;
            }
            verdict.figures.most_overtaken = verdict.figures.most_overtaken.max(u64::from(*count));
            if *count > MOST {
                verdict.order.violation(|| {
                    let what = format!(
                        "process {} waited for {} while process {process} was granted the lock {count} times for those \
                         who came later",
                        grant.process,
                        ms(grant.granted - waiting),
                    );
                    let places = [waiter, *last].map(|index| grants.get(index).map(|grant| grant.begin));
                    let [Some(begin), Some(last)] = places else { return scene.about(resource, what, &[grant.made]) };
                    scene.about(resource, what, &[begin, last, grant.made])
                });
            }
        }
    }
}

/// Of each grant: since when somebody of its process had waited who had not been granted the lock before.
fn first_waiting(grants: &[Grant]) -> Vec<Option<(u64, usize)>> {
    let mut of_process: HashMap<u32, (u64, usize)> = HashMap::new();
    let mut waits = Vec::with_capacity(grants.len());
    for (index, grant) in grants.iter().enumerate().rev() {
        if let Some(waiting) = grant.waiting.filter(|_| !grant.at_once) {
            let first = of_process.entry(grant.process).or_insert((waiting, index));
            if waiting < first.0 {
                *first = (waiting, index);
            }
        }
        waits.push(of_process.get(&grant.process).copied());
    }
    waits.reverse();
    waits
}
