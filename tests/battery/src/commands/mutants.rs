//! `battery mutants`: whether the battery would notice. The same workers, built with the mistakes of the crate's
//! `tests/mutants`, make one of them in each round, and the checker has to reject that round for the property that the
//! mistake breaks. The faults of a round are those that the mistake needs to be seen.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::directory::{Directory, forget};
use super::run;
use crate::args::Options;
use crate::check::{Checker, Property};
use crate::nemesis::{self, Conditions, Kind, Plan, World};
use crate::report::{MutantsReport, Rejection};
use crate::worker::Load;

/// Names enough for many leases to run out while others wait.
const ENDING: Load = Load { shared: 120, own: 0, long: 0, tasks: 56, slow: 2, ttl: 400, fencing: true };
/// The same with longer leases, of which a clock that is too fast takes more than the 2 ms that a waiter comes late.
const WAITING: Load = Load { ttl: 1_500, ..ENDING };
/// So few names that a task waits for each of them in every process.
const CROWD: Load = Load { shared: 4, slow: 8, ttl: 1_000, ..ENDING };

/// One of them.
struct Case {
    /// As its patch is called.
    mutant: &'static str,
    /// What has to be violated.
    property: Property,
    load: &'static Load,
    /// On servers whose clock is too fast.
    fast_clock: bool,
    faults: &'static [Kind],
}

const CASES: &[Case] = &[
    // A holder believes in its lease for a hundredth longer than the server, whose clock is that much faster.
    Case { mutant: "NoDrift", property: Property::Overlaps, load: &WAITING, fast_clock: true, faults: &[] },
    Case {
        mutant: "DeadlineFromAnswer",
        property: Property::Overlaps,
        load: &ENDING,
        fast_clock: false,
        faults: &[Kind::Slow],
    },
    // A release that is held up arrives when the next one has the lock.
    Case {
        mutant: "ReleaseWithoutCompare",
        property: Property::Overlaps,
        load: &ENDING,
        fast_clock: false,
        faults: &[Kind::RequestsHeld],
    },
    Case {
        mutant: "PlainCounterFence",
        property: Property::Fences,
        load: &run::LOAD,
        fast_clock: false,
        faults: &[Kind::ServerEmptied],
    },
    Case {
        mutant: "LocalTurnKeepsFence",
        property: Property::Fences,
        load: &run::LOAD,
        fast_clock: false,
        faults: &[],
    },
    // Leases cannot be renewed, and end while a handler works.
    Case {
        mutant: "LossCancelsNothing",
        property: Property::Layer,
        load: &ENDING,
        fast_clock: false,
        faults: &[Kind::AnswersLost],
    },
    // Leases that last longer than the round keep what is not taken back.
    Case {
        mutant: "CancelledAcquireStaysGranted",
        property: Property::Leftovers,
        load: &run::LOAD,
        fast_clock: false,
        faults: &[],
    },
    Case {
        mutant: "LostAnswerIsNotUndone",
        property: Property::Leftovers,
        load: &run::LOAD,
        fast_clock: false,
        faults: &[Kind::AnswersLost],
    },
    Case {
        mutant: "CrowdKeepsOthersOut",
        property: Property::Overtaking,
        load: &CROWD,
        fast_clock: false,
        faults: &[],
    },
];

/// Whether it is seen is a matter of chance, but what is seen is a proof: so many rounds at most.
const ROUNDS: u64 = 8;

/// `false`: one was not rejected, or for something else only.
pub(crate) fn mutants(options: &Options) -> io::Result<bool> {
    let seed = super::seed(options);
    let mut directory = Directory::new(options)?;
    println!("seed {seed}, histories in {}", directory.path().display());
    let chosen: Vec<&Case> =
        CASES.iter().filter(|case| options.only.as_ref().is_none_or(|only| only == case.mutant)).collect();
    if chosen.is_empty() {
        let known: Vec<_> = CASES.iter().map(|case| case.mutant).collect();
        return Err(io::Error::other(format!("no mutant of that name; there are: {}", known.join(", "))));
    }
    let mut report = MutantsReport::default();
    for case in chosen {
        for round in 0..ROUNDS {
            let path = directory.inner(&format!("{}-{round}", case.mutant))?;
            let rejection = one(case, seed.wrapping_add(round), &path)?;
            println!("{rejection}");
            if rejection.killed || round + 1 == ROUNDS {
                report.mutants.push(rejection);
                break;
            }
        }
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&report.mutants)?)?;
    }
    println!("{report}");
    if !report.all_killed() {
        println!("histories are in {}", directory.keep().display());
    }
    Ok(report.all_killed())
}

fn one(case: &Case, seed: u64, path: &Path) -> io::Result<Rejection> {
    let begun = Instant::now();
    let world = if case.fast_clock { World::moving(path)? } else { World::steady() };
    let mut conditions = Conditions::with_mutant(case.load.clone(), case.mutant);
    let ended = nemesis::run(&Plan::with_only(seed, case.faults), &world, &mut conditions, path)?;
    let mut checker = Checker::new();
    ended.histories.iter().for_each(|history| checker.add(history));
    checker.read().map_err(io::Error::other)?;
    let killed = Rejection::new(case.mutant, case.property, &checker.finish(), begun.elapsed());
    if killed.killed {
        forget(&ended.histories)?;
    }
    Ok(killed)
}
