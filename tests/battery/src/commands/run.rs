//! `battery run`: rounds of workers under faults, each checked when it is over.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::directory::{Directory, forget};
use crate::args::Options;
use crate::check::{Checker, Verdict};
use crate::nemesis::{self, CALM, Conditions, Plan, ROUND, Round, World};
use crate::report::RunReport;
use crate::worker::Load;

/// Seconds where nothing else is asked for: the short form, which has to reach [`LEAST_OPERATIONS`] and
/// [`LEAST_FAULTS`].
const SHORT: u64 = 75;
/// The same with several servers, where all kinds are in one round.
const SHORT_OF_SEVERAL: u64 = 20;
const LEAST_OPERATIONS: u64 = 200_000;
const LEAST_FAULTS: u64 = 100;
/// So that every kind was there.
const LEAST_ROUNDS: u64 = 4;

/// What all workers do.
pub(super) const LOAD: Load = Load { shared: 20, own: 12, long: 6, tasks: 56, slow: 8, ttl: 1_000, fencing: true };

/// The same on several servers: leases that some failovers outlast, and some do not.
const LOAD_OF_SEVERAL: Load = Load { ttl: 2_000, ..LOAD };

/// One set of servers and all that is known of it.
struct Half {
    world: World,
    checker: Checker,
}

/// `false`: something is violated, or the short form did not do enough.
pub(crate) fn run(options: &Options) -> io::Result<bool> {
    let seed = super::seed(options);
    let topology = options.topology;
    let single = topology.is_single();
    let seconds = options.seconds.unwrap_or(if single { SHORT } else { SHORT_OF_SEVERAL });
    let mut directory = Directory::new(options)?;
    println!("seed {seed}, {seconds} s, histories in {}", directory.path().display());
    let begun = Instant::now();
    let mut steady = Half { world: World::of(topology), checker: Checker::new() };
    let moving = single.then(|| World::moving(directory.path())).transpose()?;
    let mut moving = moving.map(|world| Half { world, checker: Checker::new() });
    let nothing = Verdict::default();
    let mut conditions = Conditions::new(if single { LOAD } else { LOAD_OF_SEVERAL });
    let mut report = RunReport::new(topology, seed);
    let mut held = true;
    for round in Plan::new(topology, seed) {
        let least_rounds = if single { LEAST_ROUNDS } else { 1 };
        if round.number >= least_rounds && begun.elapsed().as_millis() as u64 + CALM + ROUND > seconds * 1_000 {
            break;
        }
        let half = moving.as_mut().filter(|_| round.clock_moves).unwrap_or(&mut steady);
        let path = directory.inner(&format!("round-{}", round.number))?;
        let done = one(&round, half, &mut conditions, &path, &mut report);
        if done.is_err() {
            eprintln!("histories are kept in {}", directory.keep().display());
        }
        if !done? && std::mem::replace(&mut held, false) {
            directory.keep();
        }
        let of_moving = moving.as_ref().map_or(&nothing, |moving| moving.checker.verdict());
        report.sum(steady.checker.verdict(), of_moving, begun.elapsed());
        println!("{}", report.progress(&round));
    }
    let elapsed = begun.elapsed();
    let of_moving = moving.map_or(nothing, |moving| moving.checker.finish());
    report.sum(&steady.checker.finish(), &of_moving, elapsed);
    let (operations, faults) =
        if single && options.seconds.is_none() { (LEAST_OPERATIONS, LEAST_FAULTS) } else { (0, 0) };
    let good = report.judge(operations, faults);
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(directory.path().join("report.json"), &json)?;
    if let Some(path) = &options.json {
        std::fs::write(path, &json)?;
    }
    println!("{report}");
    if report.violations > 0 {
        println!("histories of what was violated are in {}", directory.keep().display());
    }
    Ok(good)
}

/// `false`: something was found in it.
fn one(
    round: &Round,
    half: &mut Half,
    conditions: &mut Conditions,
    path: &Path,
    report: &mut RunReport,
) -> io::Result<bool> {
    let ended = nemesis::run(round, &half.world, conditions, path)?;
    ended.histories.iter().for_each(|history| half.checker.add(history));
    let before = violations(&half.checker);
    half.checker.read().map_err(io::Error::other)?;
    half.checker.round();
    report.add(&ended);
    let held = violations(&half.checker) == before;
    if held {
        forget(&ended.histories)?;
    }
    Ok(held)
}

fn violations(checker: &Checker) -> u64 {
    crate::check::Property::ALL.iter().map(|property| checker.verdict().of(*property).violations).sum()
}
