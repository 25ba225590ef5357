//! P7: of each request, the handler ran, or it was refused, or its caller gave up.
//!
//! That handlers' runs do not overlap is judged with the holds, in [`overlaps`](super::overlaps). A refusal after the
//! handler began is the answer to a lock that was lost meanwhile.

use super::record::Reply;
use super::scene::Scene;
use super::verdict::Judged;

pub(super) fn judge(scene: &Scene<'_>, judged: &mut Judged) {
    for request in &scene.round.requests {
        judged.checked += 1;
        let wrong = match (request.answer, request.runs) {
            (_, runs) if runs > 1 => "the handler ran more than once",
            (Reply::Handler, 0) => "it was answered, and the handler had not run",
            (Reply::Handler, _) if request.ended == 0 => "it was answered, and the handler had not ended",
            (_, runs) if request.ended > runs => "the handler ended more often than it ran",
            (Reply::None, _) if scene.operations.is_complete() && !scene.operations.has_gone(request.process) => {
                "it was never answered"
            }
            _ => continue,
        };
        judged.violation(|| scene.finding(format!("a request: {wrong}"), &[request.begin, request.end]));
    }
}
