//! P6 within a process: the task that waited first is served first.
//!
//! `a` waits, by its first poll, before `b` begins: then `b` is not granted the lock before `a`, by their fences, as
//! long as `a` waits. That is so under faults too: the queue of a process is its own.
//!
//! Two cases depend on more, and are excused while a fault touches the process: a caller who does not wait asks the
//! server beside the queue, and comes first if the server has forgotten the queue; and one that was served but did
//! not come to look within a lease has lost its turn.

use super::record::{Grant, Try};
use super::scene::Scene;
use super::verdict::Judged;

pub(super) fn judge(scene: &Scene<'_>, resource: usize, judged: &mut Judged) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    let mut grants: Vec<&Grant> = record.grants.iter().filter(|grant| !grant.handler).collect();
    grants.sort_by_key(|grant| (grant.process, grant.fence));
    let mut tries: Vec<&Try> = record.tries.iter().collect();
    tries.sort_by_key(|other| (other.process, other.waiting));
    for of_one in grants.chunk_by(|first, second| first.process == second.process) {
        let process = of_one.first().map_or(0, |grant| grant.process);
        let from = tries.partition_point(|other| other.process < process);
        let to = tries.partition_point(|other| other.process <= process);
        judged.checked += of_one.len() as u64;
        among_granted(scene, resource, of_one, judged);
        among_others(scene, resource, of_one, tries.get(from..to).unwrap_or_default(), judged);
    }
}

fn among_granted(scene: &Scene<'_>, resource: usize, grants: &[&Grant], judged: &mut Judged) {
    let mut first: Option<(u64, &Grant)> = None;
    for grant in grants.iter().rev() {
        if let Some((waiting, other)) = first
            && waiting < grant.began
            && grant.fence < other.fence
        {
            let excused = grant.at_once && scene.touch(resource, grant.process, waiting, grant.granted);
            judged.found(excused, || {
                let what = format!(
                    "in process {}, who has fence {} waited before {} was asked for",
                    grant.process, other.fence, grant.fence
                );
                scene.about(resource, what, &[other.begin, grant.begin, grant.made, other.made])
            });
        }
        if let Some(waiting) = grant.waiting
            && !grant.at_once
            && first.is_none_or(|(earliest, _)| waiting < earliest)
        {
            first = Some((waiting, grant));
        }
    }
}

/// Waiters that came before and went without it: no task that came later was granted it while they waited.
fn among_others(scene: &Scene<'_>, resource: usize, grants: &[&Grant], tries: &[&Try], judged: &mut Judged) {
    let mut longest: Vec<&Try> = Vec::with_capacity(tries.len());
    for other in tries {
        longest.push(longest.last().filter(|last| last.left >= other.left).unwrap_or(other));
    }
    for grant in grants {
        let before = tries.partition_point(|other| other.waiting < grant.began);
        let Some(other) = before.checked_sub(1).and_then(|last| longest.get(last)) else { continue };
        if grant.granted < other.left {
            let excused = scene.touch(resource, grant.process, other.waiting, other.left);
            judged.found(excused, || {
                let what = format!(
                    "in process {}, fence {} was granted to one who came later than one who waited still",
                    grant.process, grant.fence
                );
                scene.about(resource, what, &[other.begin, grant.begin, grant.made, other.end])
            });
        }
    }
}
