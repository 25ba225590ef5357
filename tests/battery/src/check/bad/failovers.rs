//! What is left over after writes were lost.

use super::right::{self, MS};
use crate::check::Checker;
use crate::check::record::Place;
use crate::history::{Event, Line};

/// A round that ends so long after the last lines of a correct history, with this fault and a key that is left.
fn after(kind: &str, checker: &mut Checker, from: u64, op: u64) {
    let fault = Event::Fault { kind: kind.into(), target: None, trusted: false, detail: String::new(), moved: 0 };
    let left = Event::Left { keys: vec!["orchestrix:lock:shared:0".into()], locks: 0, waiters: 0 };
    let events = [fault, Event::Healed { kind: kind.into() }];
    for (at, event) in (from..).step_by(MS as usize).zip(events) {
        checker.line(Line { at, process: 0, op, event }, Place::default());
    }
    checker.line(Line { at: from + 2 * MS, process: 0, op: op + 1, event: left }, Place::default());
    checker.round();
}

#[test]
fn leftovers_are_excused_in_the_round_in_which_writes_were_lost() {
    let lines = right::history(1, false);
    let end = lines.last().map_or(0, |line| line.at) + 100_000 * MS;
    let mut checker = Checker::new();
    for line in lines {
        checker.line(line, Place::default());
    }
    checker.round();
    let judged = |checker: &Checker| (checker.verdict().leftovers.violations, checker.verdict().leftovers.excused);
    assert_eq!(judged(&checker), (0, 0));
    for (number, kind, expected) in [
        (1, "primary_killed", (0, 1)),
        (2, "cluster_failover", (1, 1)),
        (3, "sentinel_failover", (1, 2)),
        (4, "primary_frozen", (1, 3)),
        (5, "server_emptied", (2, 3)),
    ] {
        after(kind, &mut checker, end + number * 1_000 * MS, 20_000 + number * 10);
        assert_eq!(judged(&checker), expected, "{kind}");
    }
}
