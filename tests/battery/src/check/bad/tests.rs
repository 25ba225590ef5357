//! The checker accepts what is right, and rejects each wrong history for what is wrong with it.

use proptest::prelude::*;

use super::edits::{Edited, judge};
use super::right::{self, MS, token};
use super::{layer, mutants};
use crate::check::record::Place;
use crate::check::{Checker, Property, Verdict};
use crate::history::{Event, Line, Outcome};

fn broken(verdict: &Verdict) -> Vec<Property> {
    Property::ALL.into_iter().filter(|property| verdict.of(*property).violations > 0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_correct_history_is_accepted(seed: u64) {
        let verdict = judge(right::history(seed, false));
        prop_assert!(verdict.holds(), "{verdict:#?}");
        // No task waits for as long as that takes; it has tests of its own.
        prop_assert_eq!(verdict.not_asked(), [Property::Overtaking]);
        prop_assert_eq!(verdict.lost_updates, 0);
        for property in Property::ALL {
            prop_assert_eq!(verdict.of(property).excused, 0);
        }
    }

    /// Two hold it while a server has forgotten the first: reported, and no violation.
    #[test]
    fn an_overlap_under_a_fault_that_breaks_the_lock_is_excused(seed: u64) {
        let verdict = judge(right::history(seed, true));
        prop_assert!(verdict.holds(), "{verdict:#?}");
    }

    /// It does not matter where a history is cut into rounds, if nothing is under way there.
    #[test]
    fn rounds_are_judged_as_the_whole(seed: u64) {
        let (first, second) = (right::history(seed, false), right::history(seed ^ 1, false));
        let mut checker = Checker::new();
        feed(&mut checker, first);
        checker.round();
        let before = checker.verdict().figures.clone();
        // The same fences again, later.
        feed(&mut checker, later(second.clone(), 100_000 * MS, 0));
        let verdict = checker.finish();
        prop_assert!(broken(&verdict).contains(&Property::Fences), "{verdict:#?}");
        prop_assert!(before.granted > 0 && verdict.figures.granted > before.granted);
        let mut checker = Checker::new();
        feed(&mut checker, right::history(seed, false));
        checker.round();
        let mut second = later(second, 100_000 * MS, right::fence_at(100_000 * MS));
        // The clock is that of the first.
        second.retain(|line| !matches!(line.event, Event::Clock { .. }));
        // The store has gone on from where it was; that is another test.
        second.retain(|line| !matches!(line.event, Event::Store { .. } | Event::Stored { .. } | Event::Final { .. }));
        feed(&mut checker, second);
        let verdict = checker.finish();
        prop_assert!(broken(&verdict).is_empty(), "{verdict:#?}");
    }
}

/// Each wrong history is rejected for what is wrong with it, and where that is possible for nothing else.
#[test]
fn each_mutant_is_caught_by_its_property() {
    let mut missed = Vec::new();
    let all = || mutants::MUTANTS.iter().chain(layer::MUTANTS);
    for (name, property, alone, change) in all() {
        let mut found = 0;
        for seed in 0..400 {
            let mut history = Edited::new(seed);
            if change(&mut history).is_none() {
                continue;
            }
            found += 1;
            let verdict = history.judge();
            let broken = broken(&verdict);
            let caught = if *alone { broken == [*property] } else { broken.contains(property) };
            if !caught {
                let said = broken.iter().filter_map(|property| verdict.of(*property).violated.first());
                let said: Vec<_> = said.map(|finding| finding.what.clone()).collect();
                missed.push(format!("{name}, seed {seed}: {broken:?} {said:?}"));
                break;
            }
            if found == 25 {
                break;
            }
        }
        if found < 20 {
            missed.push(format!("{name}: only {found} histories to change"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
    assert!(all().count() >= 40);
}

/// 33 late-comers of another process may come before one who waits; 34 may not; and what is excused by a fault
/// violates nothing, and decides nothing.
#[test]
fn overtaking_between_processes_is_bounded() {
    for (late, faulty, overtaken) in [(33, false, false), (34, false, true), (34, true, false)] {
        let mut lines = late_comers(late);
        if faulty {
            lines.splice(0..0, fault("stop", Some(2), 1, 2));
        }
        let at = 1_300 * MS;
        lines.push(line(at, 1, 1, Event::Granted { fence: token(1_000), deadline: at + MS }));
        is_decided(lines, late, faulty, overtaken);
    }
}

/// A waiter that went without it was overtaken, as well as one that was served at last.
#[test]
fn overtaking_of_one_who_gives_up_is_bounded() {
    for (late, faulty, overtaken) in [(33, false, false), (34, false, true), (34, true, false)] {
        let mut lines = late_comers(late);
        if faulty {
            lines.splice(0..0, fault("stop", None, 1, 2));
        }
        lines.push(line(1_300 * MS, 1, 1, Event::Ended { outcome: Outcome::GivenUp }));
        is_decided(lines, late, faulty, overtaken);
    }
}

/// Scripts that are sent once more excuse no process for seconds; nor does a fault of before the server was at rest.
#[test]
fn overtaking_is_excused_no_longer_than_a_fault_is_felt() {
    let mut after_flush = late_comers(34);
    after_flush.splice(0..0, fault("scripts_flushed", None, 1, 2));
    let mut after_rest = late_comers(34);
    after_rest.splice(0..0, fault("server_restarted", None, 1, 2));
    after_rest.insert(2, line(900 * MS, 0, 2, Event::Left { keys: Vec::new(), locks: 0, waiters: 0 }));
    for mut lines in [after_flush, after_rest] {
        lines.push(line(1_300 * MS, 1, 1, Event::Ended { outcome: Outcome::GivenUp }));
        is_decided(lines, 34, false, true);
    }
}

fn is_decided(lines: Vec<Line>, late: u64, faulty: bool, overtaken: bool) {
    let verdict = judge(lines);
    let expected: &[Property] = if overtaken { &[Property::Overtaking] } else { &[] };
    assert_eq!(broken(&verdict), expected, "{verdict:#?}");
    assert_eq!(verdict.figures.most_overtaken, if faulty { 0 } else { late });
    let pairs = (verdict.overtaking.checked, verdict.figures.overtaking_undecided);
    assert_eq!(pairs, if faulty { (0, 1) } else { (1, 0) });
}

/// A task waits in process 1, and so many tasks that come later are served in process 2.
fn late_comers(late: u64) -> Vec<Line> {
    let mut lines = vec![line(1_000 * MS, 1, 1, acquire()), line(1_000 * MS + 1, 1, 1, Event::Waiting)];
    for turn in 0..late {
        let at = 1_251 * MS + turn * MS;
        lines.extend([
            line(at, 2, turn, acquire()),
            line(at + 10, 2, turn, Event::Granted { fence: token(100 + turn), deadline: at + MS }),
            line(at + 20, 2, turn, Event::Release { held: true, dropped: true }),
        ]);
    }
    lines
}

fn fault(kind: &str, target: Option<u32>, from: u64, to: u64) -> [Line; 2] {
    let (kind, detail) = (kind.to_owned(), String::new());
    let begins = Event::Fault { kind: kind.clone(), target, trusted: true, detail, moved: 0 };
    [line(from, 0, 1, begins), line(to, 0, 1, Event::Healed { kind })]
}

/// After a server lost its data a process may take up what it had been granted before, and hand it on. Nothing else
/// excuses a lower fence, though the fault is felt still.
#[test]
fn a_lower_fence_is_excused_only_where_it_was_given_before_the_fault() {
    let lease = 100;
    // When it was made by the server, whether its process was seen with the same grant before, and when its holder
    // asked: milliseconds.
    for (made, seen, asked, excused) in [
        (1_990, false, 2_050, true),
        (1_000, true, 2_050, true),
        // Too long ago, and no task had it.
        (1_000, false, 2_050, false),
        // No later than the server's new grants, which are at 2 040, but lower than they are.
        (2_700, false, 2_050, false),
        // Longer than a lease ago.
        (1_990, false, 2_500, false),
    ] {
        let number = |made: u64| 1_024 * made * 1_000;
        let grant = |at: u64, process: u32, op: u64, fence: u64| {
            let acquire = Event::Acquire { resource: "queue".into(), ttl: lease * MS, wait: None, renewed: true };
            [
                line(at * MS, process, op, acquire),
                line(at * MS + 1, process, op, Event::Granted { fence: token(fence), deadline: at * MS + 3 }),
                line(at * MS + 2, process, op, Event::Release { held: true, dropped: true }),
            ]
        };
        let mut lines = vec![line(0, 0, 9, Event::Clock { wall: 0 })];
        if seen {
            lines.extend(grant(1_950, 1, 1, number(made)));
        }
        lines.extend(untrusted(fault("server_emptied", None, 2_000 * MS, 2_030 * MS)));
        lines.extend(grant(2_040, 2, 1, number(3_000)));
        lines.extend(grant(asked, 1, 2, number(made) + 1));
        let verdict = judge(lines);
        let expected: &[Property] = if excused { &[] } else { &[Property::Fences] };
        assert_eq!(broken(&verdict), expected, "{made} {seen} {asked}: {verdict:#?}");
        assert_eq!(verdict.fences.excused > 0, excused);
    }
}

/// The server granted it at 10 s, for a second, to one who did not wait; who heard of it when the answer came.
#[test]
fn a_lease_counts_from_the_servers_grant() {
    let verdict = |renewed: bool, slow: bool, answered: u64, deadline: u64| {
        let acquire = Event::Acquire { resource: "queue".into(), ttl: 1_000 * MS, wait: Some(0), renewed };
        let fence = token(right::fence_at(10_000 * MS));
        let mut lines = vec![line(0, 0, 9, Event::Clock { wall: 0 })];
        if slow {
            lines.extend(fault("slow", Some(1), 9_000 * MS, 11_500 * MS));
        }
        lines.extend([
            line(9_999 * MS, 1, 1, acquire),
            line(answered * MS, 1, 1, Event::Granted { fence, deadline: deadline * MS }),
            line(answered * MS + 1, 1, 1, Event::Release { held: deadline > answered, dropped: true }),
        ]);
        lines.sort_by_key(|line| line.at);
        let verdict = judge(lines);
        (verdict.overlaps.violations, verdict.overlaps.excused)
    };
    assert_eq!(verdict(false, false, 10_400, 10_988), (0, 0));
    assert_eq!(verdict(false, false, 10_400, 11_388), (1, 0), "it counts from the answer");
    assert_eq!(verdict(false, true, 10_400, 11_388), (1, 0), "which a slow answer is no excuse for");
    assert_eq!(verdict(true, true, 10_400, 11_388), (0, 1), "but it may have been renewed");
    assert_eq!(verdict(false, false, 11_200, 11_200), (0, 0), "it was over, whatever was believed");
}

fn untrusted(mut lines: [Line; 2]) -> [Line; 2] {
    if let Event::Fault { trusted, .. } = &mut lines[0].event {
        *trusted = false;
    }
    lines
}

/// Without fencing, two who hold the lock at once each write one more than they read, and one update is lost.
#[test]
fn lost_updates_are_counted() {
    let mut lines = right::history(7, false);
    let last = lines.iter_mut().find_map(|line| match &mut line.event {
        Event::Final { value, .. } if *value > 3 => Some(value),
        _ => None,
    });
    *last.unwrap() -= 2;
    assert!(judge(lines).lost_updates > 0);
}

fn acquire() -> Event {
    Event::Acquire { resource: "queue".into(), ttl: MS, wait: None, renewed: true }
}

fn line(at: u64, process: u32, op: u64, event: Event) -> Line {
    Line { at, process, op, event }
}

fn feed(checker: &mut Checker, lines: Vec<Line>) {
    for (index, line) in lines.into_iter().enumerate() {
        let place = Place { file: line.process, line: index as u32 + 1 };
        checker.line(line, place);
    }
}

/// The same, so much later, by other processes, and with higher fences.
fn later(lines: Vec<Line>, by: u64, higher: u64) -> Vec<Line> {
    let moved = lines.into_iter().map(|mut line| {
        line.at += by;
        line.process += if line.process == 0 { 0 } else { 1_000 };
        match &mut line.event {
            Event::Granted { fence, deadline } | Event::Handler { fence, deadline } => {
                *fence = token(fence.get() + higher);
                *deadline += by;
            }
            Event::Held { deadline } | Event::Extended { deadline, .. } | Event::Lost { deadline } => *deadline += by,
            Event::Gone { process } => *process += 1_000,
            _ => {}
        }
        line
    });
    moved.collect()
}
