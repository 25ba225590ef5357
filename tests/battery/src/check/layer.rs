//! P7: of each request, the handler ran, or it was refused, or its caller gave up.
//!
//! That handlers' runs do not overlap is judged with the holds, in [`overlaps`](super::overlaps). A refusal after the
//! handler began is the answer to a lock that was lost meanwhile. So a handler is cancelled only if its lock is not held
//! any more by then, or its caller has given up; and what it answers counts only if its lock was held to its end. One whose
//! loss was signalled ends soon after that, unless its process stands still.

use super::record::{Reply, Request};
use super::scene::Scene;
use super::verdict::Judged;

/// How long a handler may run on when its loss has been signalled: its process may be busy.
const RUNS_ON: u64 = 500_000_000;

pub(super) fn judge(scene: &Scene<'_>, judged: &mut Judged) {
    for request in &scene.round.requests {
        judged.checked += 1;
        let wrong = match (request.answer, request.runs) {
            (_, runs) if runs > 1 => "the handler ran more than once",
            (Reply::Handler, 0) => "it was answered, and the handler had not run",
            (Reply::Handler, _) if request.ended == 0 => "it was answered, and the handler had not ended",
            (_, runs) if request.ended > runs => "the handler ended more often than it ran",
            (Reply::Handler, _) if !request.finished => "it was answered, and the handler had been cancelled",
            (Reply::Handler, _) if !request.held => "it was answered as if its lock had not been lost",
            (Reply::Refusal, 1..) => "it was refused, and the handler had run",
            (_, 1) if ran_on(scene, request) => "the handler ran on when its loss had been signalled",
            (Reply::Lost, 1..) if request.ended == 0 => "it was told of a loss, and the handler had not ended",
            (Reply::Lost, 1..) if !request.finished && request.held => {
                "the handler was cancelled, its lock was held, and its caller had not given up"
            }
            (Reply::None, _) if scene.operations.is_complete() && !scene.operations.has_gone(request.process) => {
                "it was never answered"
            }
            _ => continue,
        };
        judged.violation(|| scene.finding(format!("a request: {wrong}"), &[request.begin, request.end]));
    }
}

fn ran_on(scene: &Scene<'_>, request: &Request) -> bool {
    let faults = &scene.round.faults;
    request.lost.is_some_and(|(at, time)| time > RUNS_ON && !faults.stood(request.process, at, at.saturating_add(time)))
}
