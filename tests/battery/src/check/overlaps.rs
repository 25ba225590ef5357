//! P2: two certain holds never overlap; and of P7: nor do two runs of a handler.
//!
//! When a hold is certain is said in [`hold`](super::hold). A run of a handler is a hold like any other: it says how long
//! its lease lasts when it begins, and whether the lock is held when it ends.
//!
//! An overlap begins when the second lock is granted. If that is while a fault is on that the lock does not withstand,
//! or within the longest lease after it, the overlap is excused.
//!
//! Nor does a task believe in a lock for longer than the server keeps it. When the lock was granted is said by its
//! fence, which has the server's time in it: that, and the lease, is the latest deadline. It is asked of acquires that do
//! not wait, since theirs is always a lock of its own. (When a question was asked says little: it may stand behind others
//! in its process.) No fault excuses a lease that is not renewed: it keeps the end that it was granted with.

use super::hold::BETWEEN_LOOKS;
use super::record::{Believed, Earliest, Grant};
use super::scene::{Scene, ms};
use super::verdict::{Judged, Verdict};

/// `fenced`: the fences of this resource are in order (P1), and so are the grants by them.
pub(super) fn judge(scene: &Scene<'_>, resource: usize, fenced: bool, verdict: &mut Verdict) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    let grants = &record.grants;
    for grant in grants {
        verdict.overlaps.checked += u64::from(grant.certain);
        let later = counts_from_later(scene, grant);
        if let Some(place) = grant.too_long.or_else(|| later.map(|_| grant.made)) {
            let for_sure = later.is_some_and(|believed| !believed.renewed);
            let excused = !for_sure && scene.touch(resource, grant.process, grant.began, grant.until);
            verdict.overlaps.found(excused, || {
                let what = format!("fence {} was believed in for longer than it had been asked for", grant.fence);
                scene.about(resource, what, &[grant.begin, place])
            });
        }
    }
    by_time(scene, resource, grants, verdict);
    if fenced {
        by_fence(scene, resource, grants, &mut verdict.overlaps);
    }
}

/// What was believed of a lease that counts from later than the server's grant, where its clock is known. A clock that was
/// put back shows an earlier time than it was.
fn counts_from_later(scene: &Scene<'_>, grant: &Grant) -> Option<Believed> {
    let granted = scene.round.clock?.time_of(grant.fence);
    let moved = scene.round.faults.moved(grant.began, grant.granted);
    grant.believed.filter(|it| i128::from(it.counts_from) > granted + i128::from(moved) + i128::from(BETWEEN_LOOKS))
}

/// In the order of time each hold begins when all before it are over.
fn by_time(scene: &Scene<'_>, resource: usize, grants: &[Grant], verdict: &mut Verdict) {
    let mut certain: Vec<&Grant> = grants.iter().filter(|grant| grant.certain).collect();
    certain.sort_by_key(|grant| grant.granted);
    let mut longest: Option<&Grant> = None;
    for grant in certain {
        if let Some(other) = longest.filter(|other| other.until > grant.granted) {
            overlap(scene, resource, [other, grant], verdict);
        }
        if longest.is_none_or(|other| grant.until > other.until) {
            longest = Some(grant);
        }
    }
}

/// Two holds of which the second began before the first was over.
fn overlap(scene: &Scene<'_>, resource: usize, [first, second]: [&Grant; 2], verdict: &mut Verdict) {
    let time = first.until.min(second.until) - second.granted;
    verdict.figures.longest_overlap = verdict.figures.longest_overlap.max(time);
    let excused = scene.excuse(resource, second.granted);
    let judged = if first.handler && second.handler { &mut verdict.layer } else { &mut verdict.overlaps };
    judged.found(excused, || {
        let what = format!(
            "process {} held fence {} while process {} held {}: both for {}",
            first.process,
            first.fence,
            second.process,
            second.fence,
            ms(time)
        );
        scene.about(resource, what, &[first.made, first.end, second.made, second.end])
    });
}

/// In the order of the fences as well: a task that holds it after a higher fence had been granted has held it since before
/// that, even if its own line is of later.
fn by_fence(scene: &Scene<'_>, resource: usize, grants: &[Grant], judged: &mut Judged) {
    let earliest = Earliest::new(grants, |grant| Some(grant.granted));
    for (index, grant) in grants.iter().enumerate().filter(|(_, grant)| grant.certain) {
        let Some((granted, later)) = earliest.from(index + 1) else { continue };
        let Some(later) = grants.get(later).filter(|_| granted < grant.until) else { continue };
        // Otherwise found by time.
        if later.certain && later.until > grant.granted {
            continue;
        }
        judged.found(scene.excuse(resource, granted), || {
            let what = format!("fence {} was held after {} had been granted", grant.fence, later.fence);
            scene.about(resource, what, &[later.made, grant.made, grant.end])
        });
    }
}
