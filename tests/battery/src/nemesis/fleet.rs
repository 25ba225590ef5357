//! The workers of a round.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::World;
use super::plan::WORKERS;
use super::process::Process;
use super::random::Random;
use super::record::Record;
use super::round::Conditions;
use crate::history::Event;
use crate::worker::{Load, Setup};

/// What the processes of a round are started with.
#[derive(Debug)]
pub(super) struct Fleet<'a> {
    world: &'a World,
    load: &'a Load,
    mutant: Option<&'static str>,
    directory: PathBuf,
    seed: u64,
    /// Number of the next life of a process.
    next: &'a AtomicU32,
    /// All histories so far, the dead ones' too.
    histories: Mutex<Vec<PathBuf>>,
    numbers: Mutex<Vec<u32>>,
}

impl<'a> Fleet<'a> {
    pub(super) fn new(world: &'a World, conditions: &'a Conditions, directory: PathBuf, seed: u64) -> Self {
        let Conditions { load, next_process: next, mutant, .. } = conditions;
        let (histories, numbers) = (Mutex::default(), Mutex::default());
        Self { world, load, mutant: *mutant, directory, seed, next, histories, numbers }
    }

    /// One for each place.
    pub(super) fn start(&self) -> io::Result<Vec<Process>> {
        (0..WORKERS).map(|worker| self.start_one(worker)).collect()
    }

    /// A new life at this place.
    pub(super) fn start_one(&self, worker: usize) -> io::Result<Process> {
        let process = self.next.fetch_add(1, Ordering::Relaxed);
        let setup = Setup {
            process,
            history: self.directory.join(format!("{process}.jsonl")),
            locks: self.world.way(worker),
            stores: self.world.stores.url(),
            seed: Random::new(self.seed ^ u64::from(process)).next(),
            load: self.load.clone(),
        };
        let started = Process::start(&setup, self.mutant)?;
        locked(&self.histories).push(started.history().to_owned());
        locked(&self.numbers).push(process);
        Ok(started)
    }

    /// Ends one, and writes that down.
    pub(super) fn bury(process: &mut Process, record: &Record) -> io::Result<()> {
        process.kill()?;
        record.write(record.next(), Event::Gone { process: process.number() })
    }

    /// Of all that were ever started.
    pub(super) fn histories(&self) -> Vec<PathBuf> {
        locked(&self.histories).clone()
    }

    /// The names that were ever locked: as the workers make them.
    pub(super) fn resources(&self) -> Vec<String> {
        let shared = (0..self.load.shared).map(|number| format!("shared:{number}"));
        let numbers = locked(&self.numbers);
        let own = numbers.iter().flat_map(|process| (0..self.load.own).map(move |own| format!("own:{process}:{own}")));
        shared.chain(own).collect()
    }

    pub(super) fn started(&self) -> u64 {
        locked(&self.numbers).len() as u64
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
