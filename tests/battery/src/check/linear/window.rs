//! A run of consecutive grants, and what both checkers say of it.

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::Action::{self, Call, Response};
use todc_utils::linearizability::history::History;

use super::fenced::{Fenced, Step};
use crate::check::record::{Answer, Earliest, Grant};
use crate::check::scene::Scene;
use crate::check::verdict::Verdict;

/// So many operations at most: a dozen have few enough orders.
const MOST: usize = 12;

/// Windows of a resource in a round.
const SAMPLES: usize = 20;

/// Asks both of windows spread over the grants of the resource. They have to agree where nothing is excused.
pub(in crate::check) fn judge(scene: &Scene<'_>, resource: usize, verdict: &mut Verdict) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    let grants = &record.grants;
    // Which of two with one fence was answered cannot be told.
    if grants.windows(2).any(|pair| matches!(pair, [first, second] if first.fence == second.fence)) {
        return;
    }
    let mut answers: Vec<&Answer> = record.answers.iter().collect();
    answers.sort_by_key(|answer| answer.fence);
    let step = (grants.len() / SAMPLES).max(1);
    for from in (0..grants.len()).step_by(step) {
        let (grants, answers) = cut(grants.get(from..).unwrap_or_default(), &answers);
        if grants.is_empty() || !makes_sense(grants, answers) {
            continue;
        }
        verdict.linear.checked += 1;
        verdict.figures.linear_windows += 1;
        let general = is_linearizable(grants, answers);
        let ours = is_ours(grants, answers);
        if general != ours {
            verdict.linear.violation(|| {
                let what = format!("the general checker says {general}, and P1, P2 and P4 say {ours}");
                let places: Vec<_> = grants.iter().map(|grant| grant.made).collect();
                scene.about(resource, what, &places)
            });
        }
    }
}

/// What a process says of its own hold fits together: each answer comes before the next question, and what was let go,
/// or was told to be lost, is not held after that. Where it does not, the other properties say so.
pub(in crate::check) fn makes_sense(grants: &[Grant], answers: &[&Answer]) -> bool {
    grants.iter().all(|grant| {
        let mut of: Vec<&Answer> = answers.iter().copied().filter(|answer| answer.fence == grant.fence).collect();
        of.sort_by_key(|answer| answer.began);
        let in_order = of
            .iter()
            .zip(of.iter().skip(1))
            .all(|(first, second)| first.ended <= second.began && (!first.release && (first.yes || !second.yes)));
        let held = of.iter().all(|answer| match (answer.release, answer.yes) {
            (false, true) => !grant.certain || grant.until >= answer.began,
            _ => grant.until <= answer.began,
        });
        in_order && held && grant.revived.is_none()
    })
}

/// The first of these grants that come to no more than a dozen operations, and their answers.
fn cut<'a, 'b>(grants: &'a [Grant], answers: &'b [&'a Answer]) -> (&'a [Grant], &'b [&'a Answer]) {
    let of = |fence: u64| {
        let from = answers.partition_point(|answer| answer.fence < fence);
        from..answers.partition_point(|answer| answer.fence <= fence)
    };
    let mut count = 0;
    let fits = grants.iter().take_while(|grant| {
        // Granted, and ended.
        count += 2 + of(grant.fence).len();
        count <= MOST
    });
    let grants = grants.get(..fits.count()).unwrap_or_default();
    let (Some(first), Some(last)) = (grants.first(), grants.last()) else { return (&[], &[]) };
    let range = of(first.fence).start..of(last.fence).end;
    (grants, answers.get(range).unwrap_or_default())
}

/// What the general checker says.
pub(in crate::check) fn is_linearizable(grants: &[Grant], answers: &[&Answer]) -> bool {
    let mut times: Vec<(Step, u64, u64)> = Vec::new();
    for grant in grants {
        times.push((Step::Acquire(grant.fence), grant.began, grant.granted));
        let mut released = false;
        for answer in answers.iter().filter(|answer| answer.fence == grant.fence) {
            let Answer { fence, yes, began, ended, .. } = **answer;
            let step = if answer.release { Step::Release { fence, yes } } else { Step::Extend { fence, yes } };
            released |= answer.release && yes;
            times.push((step, began, ended));
        }
        if !released {
            // At any time after it was certain.
            let certain = if grant.certain { grant.until } else { grant.began };
            times.push((Step::Ends(grant.fence), certain, u64::MAX));
        }
    }
    // What begins when something else ends is taken to be at the same time.
    let mut actions: Vec<(u64, bool, usize, Action<Step>)> = Vec::with_capacity(times.len() * 2);
    for (index, (step, from, to)) in times.into_iter().enumerate() {
        actions.push((from, false, index, Call(step)));
        actions.push((to.max(from), true, index, Response(step)));
    }
    actions.sort_by_key(|(at, ends, ..)| (*at, *ends));
    if actions.is_empty() {
        return true;
    }
    let actions = actions.into_iter().map(|(_, _, index, action)| (index, action)).collect();
    WGLChecker::<Fenced>::is_linearizable(History::from_actions(actions))
}

/// What P1, P2 and P4 say, of these alone.
pub(in crate::check) fn is_ours(grants: &[Grant], answers: &[&Answer]) -> bool {
    let earliest = Earliest::new(grants, |grant| Some(grant.granted));
    let later = |fence: u64| {
        let later = grants.partition_point(|grant| grant.fence <= fence);
        earliest.from(later).map_or(u64::MAX, |(granted, _)| granted)
    };
    let unique = grants.iter().zip(grants.iter().skip(1)).all(|(first, second)| first.fence < second.fence);
    let held = grants.iter().all(|grant| {
        let certain = if grant.certain { grant.until } else { grant.began };
        grant.began.max(certain) <= later(grant.fence)
    });
    unique && held && answers.iter().all(|answer| !answer.yes || answer.began <= later(answer.fence))
}
