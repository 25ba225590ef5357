//! One round: workers, faults, rest.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::lanes::{Lanes, still_runs};
use super::plan::Round;
use super::record::Record;
use super::{World, rest};
use crate::history::Event;
use crate::worker::Load;

/// What does not change from round to round.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) load: Load,
    /// Number of the next worker process, from 1.
    pub(crate) next_process: AtomicU32,
    /// Number of the next operation of process 0.
    pub(crate) next_op: u64,
    /// The mistake that the workers make, if they are built with mistakes.
    pub(crate) mutant: Option<&'static str>,
}

impl Conditions {
    pub(crate) fn new(load: Load) -> Self {
        Self { load, next_process: AtomicU32::new(1), next_op: 0, mutant: None }
    }

    pub(crate) fn with_mutant(load: Load, mutant: &'static str) -> Self {
        Self { mutant: Some(mutant), ..Self::new(load) }
    }
}

/// What a round has come to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Of every process, with that of process 0 first.
    pub(crate) histories: Vec<PathBuf>,
    /// By name, how often.
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) processes: u64,
}

/// Runs it to its end, in a directory that is there and empty. Every process that it started is gone then.
///
/// # Errors
/// If a process can't be started or told something, if a worker ended by itself, or does not come to rest.
pub(crate) fn run(round: &Round, world: &World, conditions: &mut Conditions, directory: &Path) -> io::Result<Ended> {
    let record = Record::new(directory.join("0.jsonl"), conditions.next_op)?;
    let load = &conditions.load;
    let fleet = Fleet::new(world, conditions, directory.to_owned(), round.seed);
    record.write(record.next(), Event::Clock { wall: world.wall() })?;
    let mut processes = fleet.start()?;
    let begun = Instant::now() + Duration::from_millis(round.calm);
    let lanes = Lanes { world, fleet: &fleet, record: &record, faults: &round.faults, begun };
    std::thread::scope(|scope| {
        let server = scope.spawn(|| lanes.server());
        let workers: Vec<_> = processes
            .iter_mut()
            .enumerate()
            .map(|(worker, process)| {
                scope.spawn({
                    let lanes = &lanes;
                    move || lanes.worker(worker, process)
                })
            })
            .collect();
        let results = workers.into_iter().chain([server]).map(|lane| {
            // What it panicked with has been shown.
            lane.join().unwrap_or_else(|_| Err(io::Error::other("a fault could not be carried out")))
        });
        results.fold(Ok(()), Result::and)
    })?;
    std::thread::sleep(begun.saturating_duration_since(Instant::now()));
    processes.iter_mut().try_for_each(still_runs)?;
    // What was leased while the clock was ahead ends that much later.
    let ahead = round.faults.iter().filter(|fault| fault.kind.moves_the_clock()).map(|fault| fault.parameter).max();
    std::thread::sleep(Duration::from_millis(ahead.unwrap_or(0)));
    let quiets = rest::quiet(&mut processes)?;
    rest::undone(world, &record)?;
    drop(processes);
    rest::end_long_leases(world);
    rest::look(world, load, &fleet, &quiets, &record)?;
    let mut faults = BTreeMap::new();
    for fault in &round.faults {
        *faults.entry(fault.kind.name()).or_default() += 1;
    }
    let histories = std::iter::once(record.path().to_owned()).chain(fleet.histories()).collect();
    let processes = fleet.started();
    conditions.next_op = record.next();
    Ok(Ended { histories, faults, processes })
}
