//! What can be wrong with requests through the layer.

use super::edits::{Edited, Of};
use super::mutants::Mutant;
use super::right::MS;
use crate::check::Property;
use crate::history::{Event, Line, Outcome};

pub(super) const MUTANTS: &[Mutant] = &[
    ("a handler is cancelled that holds its lock", Property::Layer, true, |history| {
        handler_ends(history, false, true, Outcome::Failed("Lost: it was lost".into()))
    }),
    ("a handler is cancelled and answers", Property::Layer, true, |history| {
        handler_ends(history, false, false, Outcome::Yes)
    }),
    ("a handler answers though its lock was lost", Property::Layer, true, |history| {
        handler_ends(history, true, false, Outcome::Yes)
    }),
    ("a refusal of a request whose handler has run", Property::Layer, true, |history| {
        handler_ends(history, true, true, Outcome::Failed("Busy: in use".into()))
    }),
    ("a handler runs on when its lock is lost", Property::Layer, true, |history| {
        let of = history.grant(|history, of| {
            of.handler && of.release.is_some_and(|ends| history.at(ends) < history.at(of.grant) + 50 * MS)
        })?;
        let (ends, answered) = (of.release?, of.end?);
        // Whatever comes then is not known to overlap: the handler does not hold it any more.
        let deadline = history.at(of.grant) + 1;
        let Event::Handler { fence, .. } = history.event(of.grant).clone() else { return None };
        *history.event(of.grant) = Event::Handler { fence, deadline };
        history.put(deadline + 1, &of, Event::Lost { deadline });
        history.lines[ends].at = deadline + 502 * MS;
        history.lines[answered].at = deadline + 503 * MS;
        handler_ended(history, &of, true, false, Outcome::Failed("Lost: it was lost".into()))
    }),
    ("a handler runs twice", Property::Layer, true, |history| {
        let of = history.grant(|_, of| of.handler)?;
        let again = Line { at: history.at(of.grant) + 1, ..history.lines[of.grant].clone() };
        history.lines.push(again);
        Some(())
    }),
    ("an answer without a handler", Property::Layer, true, |history| {
        let of = history.grant(|_, of| of.handler)?;
        history
            .remove(|line| line.op == of.op && matches!(line.event, Event::Handler { .. } | Event::HandlerEnds { .. }));
        Some(())
    }),
    ("a refusal answered with yes", Property::Layer, true, |history| {
        let refusal = history.line(|event| matches!(event, Event::Answered { outcome: Outcome::Failed(_) }))?;
        *history.event(refusal) = Event::Answered { outcome: Outcome::Yes };
        Some(())
    }),
    ("an answer before the handler's end", Property::Layer, true, |history| {
        let of = history.grant(|_, of| of.handler)?;
        history.remove(|line| line.op == of.op && matches!(line.event, Event::HandlerEnds { .. }));
        Some(())
    }),
    ("handlers overlap", Property::Layer, true, |history| {
        let (first, second) = history.pair(|history, first, second| {
            let ends = first.release.map_or(0, |ends| history.at(ends));
            first.handler && second.handler && history.at(second.begin) + 1 < ends
        })?;
        let at = history.at(first.release?) - 1;
        history.lines[second.grant].at = at;
        Some(())
    }),
    ("a request that is never answered", Property::Layer, true, |history| {
        let of = history.grant(|_, of| of.handler)?;
        let answer = of.end?;
        history.lines.remove(answer);
        history.remove(|line| line.event == Event::Gone { process: of.process });
        Some(())
    }),
];

fn handler_ends(history: &mut Edited, finished: bool, held: bool, outcome: Outcome) -> Option<()> {
    let of = history.grant(|_, of| of.handler && of.release.is_some() && of.end.is_some())?;
    handler_ended(history, &of, finished, held, outcome)
}

fn handler_ended(history: &mut Edited, of: &Of, finished: bool, held: bool, outcome: Outcome) -> Option<()> {
    *history.event(of.release?) = Event::HandlerEnds { finished, held };
    *history.event(of.end?) = Event::Answered { outcome };
    Some(())
}
