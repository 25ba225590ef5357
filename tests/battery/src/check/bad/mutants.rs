//! What can be wrong: each changes one thing in a correct history, and says which property that breaks.

use super::edits::{Edited, Of, is_held_when_released};
use super::right::{MS, token};
use crate::check::Property;
use crate::history::{Event, Line, Outcome, Side};

/// Its name, the property that must not hold any more, whether that is the only one, and the change; which may find
/// nothing to change in this history.
pub(super) type Mutant = (&'static str, Property, bool, fn(&mut Edited) -> Option<()>);

pub(super) const MUTANTS: &[Mutant] = &[
    ("a fence given twice", Property::Fences, false, |history| {
        let (first, second) = history.pair(|_, first, second| !first.handler && !second.handler)?;
        let Event::Granted { fence, .. } = history.event(second.grant) else { return None };
        *fence = token(first.fence);
        Some(())
    }),
    ("a handler's fence given twice", Property::Fences, true, |history| {
        let (first, second) = history.pair(|_, _, second| second.handler)?;
        let Event::Handler { fence, .. } = history.event(second.grant) else { return None };
        *fence = token(first.fence);
        Some(())
    }),
    ("a falling fence", Property::Fences, false, |history| {
        let (_, second) = history
            .pair(|history, first, second| !second.handler && history.at(first.grant) < history.at(second.begin))?;
        let Event::Granted { fence, .. } = history.event(second.grant) else { return None };
        *fence = token(1);
        Some(())
    }),
    ("an overlap by 1 ns", Property::Overlaps, true, |history| {
        let (first, second) = history.pair(|history, first, second| {
            is_held_when_released(history, first)
                && !second.handler
                // Otherwise another's was released as well.
                && first.end.is_none()
                && first.release.is_some_and(|release| history.at(second.begin) + 100 < history.at(release))
        })?;
        let at = history.at(first.release?) - 1;
        history.lines[second.grant].at = at;
        Some(())
    }),
    ("an overlap beside a handler of a stopped process", Property::Overlaps, true, |history| {
        let (first, second) = history.pair(|history, first, second| {
            is_held_when_released(history, first)
                && !first.handler
                && !second.handler
                && first.end.is_none()
                && first.release.is_some_and(|release| history.at(second.begin) + 100 < history.at(release))
        })?;
        let at = history.at(first.release?) - 1;
        history.lines[second.grant].at = at;
        stopped_handler(history, &first.resource);
        Some(())
    }),
    ("held after another was granted it", Property::Overlaps, true, |history| {
        let (first, second) =
            history.pair(|history, first, second| is_held_when_released(history, first) && !second.handler)?;
        let at = history.at(second.grant) + 1;
        history.put(at, &first, Event::Held { deadline: at });
        Some(())
    }),
    ("an overlap through an extension", Property::Overlaps, true, |history| {
        let (first, second) = history.pair(|_, first, second| first.lost.is_some() && !second.handler)?;
        let lost = first.lost?;
        let (at, deadline) = (history.at(lost), history.at(second.grant) + 1);
        history.put(at - 2 * MS, &first, Event::Extend { by: 100 * MS });
        history.put(at - MS, &first, Event::Extended { outcome: Outcome::Yes, deadline });
        history.lines[lost].at = deadline + 1;
        *history.event(lost) = Event::Lost { deadline };
        Some(())
    }),
    // The fault excuses nothing: the handler held the lock when it ended.
    ("an overlap with a handler while the server is under a fault", Property::Overlaps, true, |history| {
        let (first, second) = history.pair(|history, first, second| {
            let ends = first.release.map_or(0, |ends| history.at(ends));
            first.handler && !second.handler && history.at(second.begin) + 100 < ends
        })?;
        let (begin, at) = (history.at(first.begin), history.at(first.release?) - 1);
        history.lines[second.grant].at = at;
        let kind = || "server_paused".to_owned();
        let (target, detail) = (None, String::new());
        let begins = Event::Fault { kind: kind(), target, trusted: true, detail, moved: 0 };
        history.lines.push(Line { at: begin, process: 0, op: u64::MAX, event: begins });
        history.lines.push(Line { at: at + 1, process: 0, op: u64::MAX, event: Event::Healed { kind: kind() } });
        Some(())
    }),
    ("a deadline that counts from the answer", Property::Overlaps, true, |history| {
        history.grant(|history, of| {
            matches!(history.lines[of.begin].event, Event::Acquire { wait: Some(0), .. }) && of.lost.is_none()
        })?;
        // Each was granted so long before its answer.
        let read = history.line(|event| matches!(event, Event::Clock { .. }))?;
        let Event::Clock { wall } = history.event(read) else { return None };
        *wall += 104_000;
        Some(())
    }),
    ("a deadline beyond the lease", Property::Overlaps, true, |history| {
        let of = history.grant(is_held_when_released)?;
        let later = history.at(of.grant) + 10_000 * MS;
        let Event::Granted { deadline, .. } = history.event(of.grant) else { return None };
        *deadline = later;
        Some(())
    }),
    ("a lost update", Property::Updates, true, |history| {
        let write = history.line(|event| wrote(event).is_some_and(|value| value > 1))?;
        let (process, op) = (history.lines[write].process, history.lines[write].op);
        for line in history.lines.iter_mut().filter(|line| line.process == process && line.op == op) {
            if let Event::Store { value: Some(value), .. } | Event::Stored { value: Some(value), .. } = &mut line.event
            {
                *value -= 1;
            }
        }
        Some(())
    }),
    ("a write that is not one more", Property::Updates, true, |history| {
        let write = history.line(|event| wrote(event).is_some())?;
        let (process, op) = (history.lines[write].process, history.lines[write].op);
        let mut asked = history.lines.iter_mut().filter(|line| line.process == process && line.op == op);
        let line = asked.find(|line| matches!(line.event, Event::Store { side: Side::Write, .. }))?;
        let Event::Store { value: Some(value), .. } = &mut line.event else { return None };
        *value += 1;
        Some(())
    }),
    ("a stale write is accepted", Property::Updates, true, |history| {
        let of = history.grant(|_, of| of.lost.is_some())?;
        let read = history.lines.iter().position(|line| line.op == of.op && refused(&line.event))?;
        // After the next holder had been there: its read is refused, and it writes all the same.
        let at = history.at(read) + 10;
        history.put(at, &of, Event::Store { side: Side::Write, value: Some(1_000) });
        history.put(at + 10, &of, Event::Stored { side: Side::Write, outcome: Outcome::Yes, value: Some(1_000) });
        Some(())
    }),
    ("a stale read is accepted", Property::Updates, true, |history| {
        let read = history.line(refused)?;
        let Event::Stored { side: Side::Read, outcome, value } = history.event(read) else { return None };
        *outcome = Outcome::Yes;
        *value = Some(0);
        Some(())
    }),
    ("refused without a higher fence", Property::Updates, true, |history| {
        let write = history.line(|event| wrote(event).is_some())?;
        let Event::Stored { outcome, .. } = history.event(write) else { return None };
        *outcome = Outcome::No;
        Some(())
    }),
    ("a read of what was never written", Property::Updates, true, |history| {
        let read =
            history.line(|event| matches!(event, Event::Stored { side: Side::Read, outcome: Outcome::Yes, .. }))?;
        let Event::Stored { value, .. } = history.event(read) else { return None };
        *value = Some(1_000_000);
        Some(())
    }),
    ("a number at the end that is too low", Property::Updates, true, |history| ends(history, |value| Some(value / 2))),
    ("a number at the end that is too high", Property::Updates, true, |history| {
        ends(history, |value| Some(value + 60))
    }),
    ("no number at the end", Property::Updates, true, |history| {
        let last = history.line(|event| matches!(event, Event::Final { value, .. } if *value > 0))?;
        let kept = history.lines.remove(last);
        matches!(kept.event, Event::Final { .. }).then_some(())
    }),
    // The extended task held it, so that two did.
    ("an extension of another's", Property::Owners, false, |history| {
        let (first, second) = history.pair(|history, first, second| {
            !first.handler && first.lost.is_none() && is_held_when_released(history, first) && !second.handler
        })?;
        let at = history.at(second.grant) + 1;
        history.put(at, &first, Event::Extend { by: 100 * MS });
        // What is known of its end is of long ago.
        let deadline = history.at(first.grant) + 1;
        history.put(at + 1, &first, Event::Extended { outcome: Outcome::Yes, deadline });
        Some(())
    }),
    ("a release of another's", Property::Owners, true, |history| {
        let (first, _) = history.pair(|history, first, second| {
            first.lost.is_some()
                && first.end.is_some()
                && first.release.is_some_and(|release| history.at(second.grant) < history.at(release))
        })?;
        *history.event(first.end?) = Event::Released { outcome: Outcome::Yes };
        Some(())
    }),
    ("held again after it was lost", Property::Owners, true, |history| {
        let (first, second) = history.pair(|history, first, second| {
            first.lost.is_some_and(|lost| history.at(lost) + 2 < history.at(second.grant))
        })?;
        let at = history.at(first.lost?) + 1;
        _ = second;
        history.put(at, &first, Event::Held { deadline: at });
        Some(())
    }),
    ("extended after it was told no", Property::Owners, true, |history| {
        let of = history.grant(|history, of| {
            is_held_when_released(history, of)
                && of.release.is_some_and(|release| history.at(of.grant) + MS < history.at(release))
        })?;
        let at = history.at(of.grant) + 10;
        let deadline = at + 50 * MS;
        history.put(at, &of, Event::Extend { by: 100 * MS });
        history.put(at + 1, &of, Event::Extended { outcome: Outcome::No, deadline });
        Some(())
    }),
    ("a key is left over", Property::Leftovers, true, |history| left(history, 1, 0, 0)),
    ("a lock is left over", Property::Leftovers, true, |history| left(history, 0, 1, 0)),
    ("a waiter is left over", Property::Leftovers, true, |history| left(history, 0, 0, 1)),
    ("something is not taken back", Property::Leftovers, true, |history| {
        let undone = history.line(|event| matches!(event, Event::Undone { .. }))?;
        *history.event(undone) = Event::Undone { left: vec!["shared:0".into()] };
        Some(())
    }),
    ("not free in time", Property::Leftovers, true, |history| {
        let free = history.line(|event| matches!(event, Event::Free { .. }))?;
        let Event::Free { after, .. } = history.event(free) else { return None };
        *after = 2_200 * MS;
        Some(())
    }),
    ("overtaken in a process", Property::Order, true, |history| {
        let (first, second) = history.pair(waits_behind)?;
        // They change places.
        for index in [first.begin, first.waiting?] {
            history.lines[index].op = second.op;
        }
        for index in [second.begin, second.waiting?] {
            history.lines[index].op = first.op;
        }
        Some(())
    }),
    ("overtaken in a process until it gave up", Property::Order, true, |history| {
        let of = history.grant(|history, of| !of.handler && waits(history, of))?;
        let other = Of { op: 7_000, ..of.clone() };
        let (begin, granted) = (history.at(of.begin), history.at(of.grant));
        let acquire = Event::Acquire { resource: of.resource, ttl: 1, wait: None, renewed: false };
        history.put(begin - 20, &other, acquire);
        history.put(begin - 10, &other, Event::Waiting);
        history.put(granted + 1, &other, Event::Ended { outcome: Outcome::GivenUp });
        Some(())
    }),
    ("a grant that was never asked for", Property::Lines, false, |history| {
        let of = history.grant(|_, of| !of.handler)?;
        history.lines.remove(of.begin);
        Some(())
    }),
];

fn wrote(event: &Event) -> Option<u64> {
    match event {
        Event::Stored { side: Side::Write, outcome: Outcome::Yes, value } => *value,
        _ => None,
    }
}

fn refused(event: &Event) -> bool {
    matches!(event, Event::Stored { side: Side::Read, outcome: Outcome::No, .. })
}

fn ends(history: &mut Edited, change: fn(u64) -> Option<u64>) -> Option<()> {
    // So many that a few without an answer make no difference.
    let last = history.line(|event| matches!(event, Event::Final { value, .. } if *value > 12))?;
    let Event::Final { value, .. } = history.event(last) else { return None };
    *value = change(*value)?;
    Some(())
}

fn left(history: &mut Edited, keys: usize, locks: u64, waiters: u64) -> Option<()> {
    let left = history.line(|event| matches!(event, Event::Left { .. }))?;
    *history.event(left) = Event::Left { keys: vec!["shared:0".into(); keys], locks, waiters };
    Some(())
}

fn waits(history: &Edited, of: &Of) -> bool {
    matches!(history.lines[of.begin].event, Event::Acquire { wait: None, .. })
}

fn waits_behind(history: &Edited, first: &Of, second: &Of) -> bool {
    first.process == second.process
        && [first, second].iter().all(|of| !of.handler && of.waiting.is_some() && waits(history, of))
        && history.at(second.begin) + 50 < history.at(first.grant)
        && first.waiting.is_some_and(|waiting| history.at(waiting) < history.at(second.begin))
}

/// A process that was stopped in its handler for the whole time. Its lease was over soon, and so nothing is wrong with
/// that.
fn stopped_handler(history: &mut Edited, resource: &str) {
    const STOPPED: u32 = 999;
    let (begin, end) =
        history.lines.iter().fold((u64::MAX, 0), |(begin, end), line| (begin.min(line.at), end.max(line.at)));
    let (begin, end) = (begin - 10, end + 10);
    let mut put = |at, process, op, event| history.lines.push(Line { at, process, op, event });
    let kind = || "worker_stopped".to_owned();
    put(
        begin,
        0,
        u64::MAX,
        Event::Fault { kind: kind(), target: Some(STOPPED), trusted: true, detail: String::new(), moved: 0 },
    );
    put(begin + 1, STOPPED, 1, Event::Request { resource: resource.to_owned(), ttl: 1 });
    put(begin + 2, STOPPED, 1, Event::Handler { fence: token(1), deadline: begin + 3 });
    put(end, 0, u64::MAX, Event::Healed { kind: kind() });
    put(end + 1, STOPPED, 1, Event::HandlerEnds { finished: false, held: false });
    put(end + 2, STOPPED, 1, Event::Answered { outcome: Outcome::Failed("Lost".into()) });
    put(end + 3, 0, u64::MAX - 1, Event::Gone { process: STOPPED });
}
