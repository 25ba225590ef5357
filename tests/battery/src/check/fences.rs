//! P1: fences of a resource are unique, and rise in real time.
//!
//! A lock that had been granted before another was asked for has the lower fence. With the grants in the order of their
//! fences, that is so if, and only if, no grant was asked for after any later one in that order had been made: one look
//! at the earliest of all later ones decides. It holds whatever happens to the server.
//!
//! With one exception, which is counted and not required. A process may still be on its way to a lock that the server
//! granted it before it lost its data, or before its clock was set, and may hand such a lock on among its own tasks,
//! until it has heard of that: with fences below those that the server has given since. No number is given twice even
//! then, and a store that refuses stale ones (P3) refuses these.
//!
//! Whether the server can have granted it before is asked of the fence itself, which has the server's time in it: that
//! has to be before the fault was over, and no longer than a lease before its holder asked, if the process has not been
//! seen with the same grant by then (it may have renewed it). Where clocks are moved, that time is off by as much.

use super::record::{Earliest, Grant, Place, TURNS};
use super::scene::Scene;
use super::verdict::Judged;

/// How exactly the time in a fence is known: a server's clock may run a little faster, and a round lasts some time.
const INEXACT: u64 = 250_000_000;

/// The highest fence of a resource in the rounds before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Highest(Option<(u64, u64, Place)>);

/// `true` if it holds of this resource.
pub(super) fn judge(scene: &Scene<'_>, resource: usize, highest: &mut Highest, judged: &mut Judged) -> bool {
    let Some(record) = scene.round.resources.get(resource) else { return true };
    let grants = &record.grants;
    let before = judged.violations;
    judged.checked += grants.len() as u64;
    for pair in grants.windows(2) {
        if let [first, second] = pair
            && first.fence == second.fence
        {
            judged.violation(|| {
                scene.about(resource, format!("fence {} was given twice", first.fence), &[first.made, second.made])
            });
        }
    }
    let earliest = Earliest::new(grants, |grant| Some(grant.granted));
    for (index, grant) in grants.iter().enumerate() {
        if let Some((granted, later)) = earliest.from(index + 1)
            && granted < grant.began
            && let Some(later) = grants.get(later)
            && later.fence != grant.fence
        {
            let excused = [granted, grant.granted].iter().any(|at| is_of_before(scene, resource, grant, *at));
            judged.found(excused, || {
                let what =
                    format!("fence {} was granted before {} was asked for, and is higher", later.fence, grant.fence);
                scene.about(resource, what, &[later.made, grant.begin, grant.made])
            });
        }
        if let Some((fence, granted, place)) = highest.0
            && (grant.fence == fence || grant.fence < fence && granted < grant.began)
        {
            let excused = grant.fence != fence && is_of_before(scene, resource, grant, grant.granted);
            judged.found(excused, || {
                let what = format!("fence {fence} had been granted before, and {} is not higher", grant.fence);
                scene.about(resource, what, &[place, grant.made])
            });
        }
    }
    if let Some(last) = grants.last()
        && highest.0.is_none_or(|(fence, ..)| last.fence > fence)
    {
        highest.0 = Some((last.fence, last.granted, last.made));
    }
    judged.violations == before
}

/// Whether a fault that the lock does not withstand is felt at this time, and the server can have made this grant before
/// that was over.
fn is_of_before(scene: &Scene<'_>, resource: usize, grant: &Grant, at: u64) -> bool {
    let lease = scene.operations.lease(resource);
    let faults = &scene.round.faults;
    let inexact = i128::from(INEXACT) + i128::from(faults.most_moved());
    let is_before = |end: u64| {
        // A history that does not say what the server's clock showed.
        let Some(clock) = scene.round.clock else { return true };
        let made = clock.time_of(grant.fence);
        made <= i128::from(end) + inexact
            && (made + i128::from(lease) + inexact >= i128::from(grant.began)
                || was_seen(scene, resource, grant, end.saturating_add(INEXACT)))
    };
    faults.untrusted_at(at, lease).any(|fault| is_before(fault.end()))
}

/// Whether a lower turn of the same grant by the server had been seen in the process by then.
fn was_seen(scene: &Scene<'_>, resource: usize, grant: &Grant, by: u64) -> bool {
    let Some(record) = scene.round.resources.get(resource) else { return false };
    let from = record.grants.partition_point(|other| other.fence / TURNS < grant.fence / TURNS);
    let turns = record.grants.iter().skip(from).take_while(|other| other.fence < grant.fence);
    turns.into_iter().any(|other| other.process == grant.process && other.granted <= by)
}
