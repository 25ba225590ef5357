//! Carrying out the faults of one lane, one after the other.

use std::io;
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::plan::Planned;
use super::process::Process;
use super::record::Record;
use super::topology::Locks;
use super::{Kind, World, failovers, server_faults, way_faults};
use crate::history::Event;
use crate::worker::Order;

/// What all lanes of a round share.
#[derive(Debug)]
pub(super) struct Lanes<'a> {
    pub(super) world: &'a World,
    pub(super) fleet: &'a Fleet<'a>,
    pub(super) record: &'a Record,
    pub(super) faults: &'a [Planned],
    /// When the calm is over.
    pub(super) begun: Instant,
}

impl Lanes<'_> {
    pub(super) fn server(&self) -> io::Result<()> {
        self.carry_out(None, |fault, op| {
            self.announce(op, fault, None)?;
            let Locks::Single(_) = &self.world.locks else {
                let begun = failovers::begin(fault, self.world)?;
                self.until(fault.begin + fault.length);
                return failovers::end(fault, &begun, self.world);
            };
            server_faults::begin(fault, self.world)?;
            if fault.kind != Kind::ServerBusy {
                self.until(fault.begin + fault.length);
            }
            server_faults::end(fault, self.world)
        })
    }

    /// `worker`: its place, `process`: who has it, replaced where it is killed.
    pub(super) fn worker(&self, worker: usize, process: &mut Process) -> io::Result<()> {
        self.carry_out(Some(worker), |fault, op| {
            still_runs(process)?;
            self.announce(op, fault, Some(process.number()))?;
            let end = fault.begin + fault.length;
            match fault.kind {
                Kind::WorkerStopped => {
                    let stopped = process.stop()?;
                    self.until(end);
                    drop(stopped);
                }
                Kind::WorkerKilled => {
                    Fleet::bury(process, self.record)?;
                    self.until(end);
                    *process = self.fleet.start_one(worker)?;
                }
                Kind::WorkerBlocked => {
                    process.order(Order::Block { milliseconds: fault.length })?;
                    self.until(end);
                }
                kind => {
                    let Some(proxy) = self.world.proxies.get(worker) else { return Ok(()) };
                    way_faults::begin(kind, fault.parameter, proxy);
                    self.until(end);
                    way_faults::end(kind, proxy);
                }
            }
            Ok(())
        })
    }

    fn carry_out(&self, worker: Option<usize>, mut one: impl FnMut(&Planned, u64) -> io::Result<()>) -> io::Result<()> {
        for fault in self.faults.iter().filter(|fault| fault.worker == worker) {
            self.until(fault.begin);
            let op = self.record.next();
            one(fault, op)?;
            self.record.write(op, Event::Healed { kind: fault.kind.name() })?;
        }
        Ok(())
    }

    fn announce(&self, op: u64, fault: &Planned, target: Option<u32>) -> io::Result<()> {
        let (kind, trusted) = (fault.kind.name(), fault.kind.trusted());
        let moved = if fault.kind.moves_the_clock() { fault.parameter * 1_000_000 } else { 0 };
        self.record.write(op, Event::Fault { kind, target, trusted, detail: fault.detail(), moved })
    }

    /// So many milliseconds after the calm, or now if that is later.
    fn until(&self, milliseconds: u64) {
        let time = self.begun + Duration::from_millis(milliseconds);
        std::thread::sleep(time.saturating_duration_since(Instant::now()));
    }
}

/// A worker that ends by itself has failed.
pub(super) fn still_runs(process: &mut Process) -> io::Result<()> {
    let number = process.number();
    process.ended()?.map_or(Ok(()), |(status, errors)| {
        Err(io::Error::other(format!("worker {number} ended by itself, {status}, with:\n{errors}")))
    })
}
