//! P4: no process extends or releases another's lock, and a lost lock does not come back.
//!
//! Fences fix the order of the grants: once a higher one has been granted, the lower one is over. An extension or a
//! release of the lower one that begins after that must not be answered with yes. (One that had begun before may be
//! done before the grant and answered after it.) Excused where the later grant, or the question, is under a fault that
//! the lock does not withstand: a server without its data grants twice.
//!
//! What `lost()`, or an extension that said no, has told to be over is over in any case: no `is_held`, extension or
//! release that begins after that says yes.

use super::record::Earliest;
use super::scene::Scene;
use super::verdict::Judged;

pub(super) fn judge(scene: &Scene<'_>, resource: usize, judged: &mut Judged) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    let grants = &record.grants;
    let earliest = Earliest::new(grants, |grant| Some(grant.granted));
    for answer in &record.answers {
        judged.checked += 1;
        if !answer.yes {
            continue;
        }
        let later = grants.partition_point(|grant| grant.fence <= answer.fence);
        let Some((granted, later)) = earliest.from(later) else { continue };
        let Some(later) = grants.get(later).filter(|_| granted < answer.began) else { continue };
        let excused = scene.excuse(resource, granted) || scene.excuse(resource, answer.began);
        judged.found(excused, || {
            let what = format!(
                "fence {} was {} after {} had been granted",
                answer.fence,
                if answer.release { "released" } else { "extended" },
                later.fence
            );
            scene.about(resource, what, &[later.made, answer.begin, answer.end])
        });
    }
    for grant in grants {
        if let Some((how, place)) = grant.revived {
            judged.violation(|| {
                let what = format!("fence {} {how}, and had been lost before", grant.fence);
                scene.about(resource, what, &[grant.made, place])
            });
        }
    }
}
