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

use super::record::{Earliest, Place};
use super::scene::Scene;
use super::verdict::Judged;

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
            let excused = scene.round.faults.excuse(granted) || scene.round.faults.excuse(grant.granted);
            judged.found(excused, || {
                let what =
                    format!("fence {} was granted before {} was asked for, and is higher", later.fence, grant.fence);
                scene.about(resource, what, &[later.made, grant.begin, grant.made])
            });
        }
        if let Some((fence, granted, place)) = highest.0
            && (grant.fence == fence || grant.fence < fence && granted < grant.began)
        {
            let excused = grant.fence != fence && scene.round.faults.excuse(grant.granted);
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
