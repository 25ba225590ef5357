//! `battery control`: whether the battery would notice. The same workers with the same faults of holders, once with
//! stores that take whatever comes, where updates must be lost, and once with stores that refuse stale fences.

use std::io;
use std::time::Instant;

use super::directory::{Directory, forget};
use crate::args::Options;
use crate::check::{Checker, Verdict};
use crate::nemesis::{self, Conditions, Plan, Round, World};
use crate::report::ControlReport;
use crate::worker::Load;

/// A quarter of the names are those of tasks that take their time; short leases, so that each stop is past them.
const LOAD: Load = Load { shared: 32, own: 0, long: 0, tasks: 48, slow: 8, ttl: 250, fencing: true };

/// `false`: nothing was lost without fencing, or something with it.
pub(crate) fn control(options: &Options) -> io::Result<bool> {
    let seed = super::seed(options);
    let mut directory = Directory::new(options)?;
    println!("seed {seed}, histories in {}", directory.path().display());
    let begun = Instant::now();
    let round = Plan::holders_only(seed);
    let without = half(&round, false, &directory)?;
    println!("without fencing: {} lost updates", without.lost_updates);
    let with = half(&round, true, &directory)?;
    let faults = 2 * round.faults.len() as u64;
    let report = ControlReport::new(seed, begun.elapsed().as_secs_f64(), faults, &without, &with);
    let json = serde_json::to_string_pretty(&report)?;
    std::fs::write(directory.path().join("control.json"), &json)?;
    if let Some(path) = &options.json {
        std::fs::write(path, &json)?;
    }
    println!("{report}");
    if !report.failures.is_empty() {
        println!("histories are in {}", directory.keep().display());
    }
    Ok(report.failures.is_empty())
}

fn half(round: &Round, fencing: bool, directory: &Directory) -> io::Result<Verdict> {
    let path = directory.inner(if fencing { "with-fencing" } else { "without-fencing" })?;
    let mut conditions = Conditions::new(Load { fencing, ..LOAD });
    let ended = nemesis::run(round, &World::steady(), &mut conditions, &path)?;
    let mut checker = Checker::new();
    ended.histories.iter().for_each(|history| checker.add(history));
    checker.read().map_err(io::Error::other)?;
    let verdict = checker.finish();
    if verdict.holds() {
        forget(&ended.histories)?;
    }
    Ok(verdict)
}
