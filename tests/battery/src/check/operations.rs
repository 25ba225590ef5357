//! From lines to operations: what each acquire and each request came to.

use std::collections::{HashMap, HashSet, VecDeque};

use super::operation::{Held, Kind, Operation};
use super::record::{
    Believed, Final, Free, Grant, Left, Place, Reply, Request, Resource, Round, ServerClock, Try, Undone,
};
use super::statistics::Figures;
use crate::history::{Event, Line};

/// So many operations that have ended are kept open for lines that come late: tasks of one process write side by side.
const LATE: usize = 20_000;

type Id = (u32, u64);

/// What is known of the operations that have begun.
#[derive(Debug, Default)]
pub(super) struct Operations {
    open: HashMap<Id, Operation>,
    ended: VecDeque<Id>,
    numbers: HashMap<String, u32>,
    names: Vec<String>,
    round: Round,
    processes: HashSet<u32>,
    gone: HashSet<u32>,
    /// The longest lease of each that was asked for.
    leases: Vec<u64>,
}

impl Operations {
    pub(super) fn name(&self, resource: usize) -> &str {
        self.names.get(resource).map_or("?", String::as_str)
    }

    /// The longest lease that was asked for, of this resource.
    pub(super) fn lease(&self, resource: usize) -> u64 {
        self.leases.get(resource).copied().unwrap_or(0)
    }

    /// The same by its name.
    pub(super) fn lease_of(&self, name: &str) -> u64 {
        self.numbers.get(name).map_or(0, |number| self.lease(*number as usize))
    }

    pub(super) fn has_gone(&self, process: u32) -> bool {
        self.gone.contains(&process)
    }

    /// Whether the lines of the process that starts the others were among those read.
    pub(super) fn is_complete(&self) -> bool {
        self.processes.contains(&0)
    }

    /// Takes in a line. `Err`: it does not fit to those before it, and why.
    pub(super) fn add(&mut self, line: Line, place: Place, figures: &mut Figures) -> Result<(), &'static str> {
        let Line { at, process, op, event } = line;
        if self.processes.insert(process) {
            figures.processes += 1;
        }
        match event {
            Event::Acquire { resource, ttl, wait, renewed } => {
                self.promises(&resource, ttl);
                let kind = Kind::Acquire { lease: ttl, renewed, wait, waiting: None, left: None, ended: false };
                self.begin((process, op), &resource, at, place, kind)
            }
            Event::Request { resource, ttl } => {
                self.promises(&resource, ttl);
                let (finished, held) = (false, false);
                let (runs, ended, ended_at, reply) = (0, 0, 0, Reply::None);
                let kind = Kind::Request { lease: ttl, runs, ended, finished, held, ended_at, reply };
                self.begin((process, op), &resource, at, place, kind)
            }
            Event::Fault { kind, target, trusted, moved, .. } => {
                self.round.faults.begins(op, at, &kind, target, trusted, moved);
                Ok(())
            }
            Event::Healed { .. } if self.round.faults.healed(op, at) => Ok(()),
            Event::Healed { .. } => Err("a fault is over that never began"),
            Event::Gone { process } => {
                self.gone.insert(process);
                self.round.faults.gone(process, at);
                figures.processes_gone += 1;
                Ok(())
            }
            Event::Left { keys, locks, waiters } => {
                self.round.faults.rests(at);
                self.round.lefts.push(Left { keys, locks, waiters, place });
                Ok(())
            }
            Event::Clock { wall } => {
                self.round.clock = Some(ServerClock { at, wall });
                Ok(())
            }
            Event::Undone { left } => {
                self.round.undone.push(Undone { left, place });
                Ok(())
            }
            Event::Free { resource, after } => {
                self.round.frees.push(Free { resource, after, place });
                Ok(())
            }
            Event::Final { resource, value } => {
                let number = self.number(&resource);
                self.resource(number).last = Some(Final { value, place });
                Ok(())
            }
            event => {
                let operation = self.open.get_mut(&(process, op)).ok_or("an operation goes on that never began")?;
                let by = if let Event::Extend { by } = event { Some(by) } else { None };
                let was_closed = operation.closed;
                let answer = operation.goes_on(at, event, place, figures)?;
                let (number, closes) = (operation.resource, operation.closed && !was_closed);
                if let Some(by) = by {
                    self.lengthens(number, by);
                }
                if let Some(answer) = answer {
                    self.resource(number).answers.push(answer);
                }
                if closes {
                    self.ended.push_back((process, op));
                    self.file_ended(LATE);
                }
                Ok(())
            }
        }
    }

    /// Everything that is known, as it stands; what comes next is of another round.
    pub(super) fn round(&mut self, figures: &mut Figures) -> Round {
        self.file_ended(0);
        for (id, operation) in std::mem::take(&mut self.open) {
            if matches!(operation.kind, Kind::Acquire { ended: false, .. }) && operation.hold.is_none() {
                figures.unknown += 1;
            }
            self.file(id, operation);
        }
        let next = Round { faults: self.round.faults.clone(), clock: self.round.clock, ..Round::default() };
        let mut round = std::mem::replace(&mut self.round, next);
        round.resources.resize_with(self.names.len(), Resource::default);
        for resource in &mut round.resources {
            resource.grants.sort_by_key(|grant| (grant.fence, grant.granted));
        }
        round.faults.settle();
        figures.resources = self.names.len() as u64;
        (figures.faults, figures.untrusted_faults) = round.faults.count();
        round
    }

    fn begin(&mut self, id: Id, resource: &str, at: u64, place: Place, kind: Kind) -> Result<(), &'static str> {
        let operation = Operation::new(self.number(resource), at, place, kind);
        match self.open.insert(id, operation) {
            Some(_) => Err("an operation begins twice"),
            None => Ok(()),
        }
    }

    fn promises(&mut self, resource: &str, lease: u64) {
        let number = self.number(resource);
        self.lengthens(number, lease);
    }

    fn lengthens(&mut self, number: u32, lease: u64) {
        let index = number as usize;
        if self.leases.len() <= index {
            self.leases.resize(index + 1, 0);
        }
        if let Some(longest) = self.leases.get_mut(index) {
            *longest = lease.max(*longest);
        }
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    fn resource(&mut self, number: u32) -> &mut Resource {
        let index = number as usize;
        if self.round.resources.len() <= index {
            self.round.resources.resize_with(index + 1, Resource::default);
        }
        #[expect(clippy::indexing_slicing, reason = "it was made as long just now")]
        &mut self.round.resources[index]
    }

    fn file_ended(&mut self, keep: usize) {
        while self.ended.len() > keep {
            let Some(id) = self.ended.pop_front() else { return };
            if let Some(operation) = self.open.remove(&id) {
                self.file(id, operation);
            }
        }
    }

    fn file(&mut self, (process, _): Id, mut operation: Operation) {
        operation.give_up_storing();
        let Operation { resource, began, begin, end, kind, hold, stores, .. } = operation;
        let (handler, waiting, at_once) = match &kind {
            Kind::Acquire { waiting, wait, .. } => (false, *waiting, *wait == Some(0)),
            Kind::Request { .. } => (true, None, false),
        };
        let believed = match (&hold, &kind) {
            (Some(Held { at, deadline, .. }), Kind::Acquire { lease, renewed, .. }) if at_once && deadline > at => {
                Some(Believed { counts_from: deadline.saturating_sub(*lease), renewed: *renewed })
            }
            _ => None,
        };
        if let Kind::Request { runs, ended, finished, held, ended_at, reply, .. } = kind {
            let lost = hold.as_ref().and_then(|held| held.hold.lost);
            let lost = lost.map(|lost| (lost.at, ended_at.saturating_sub(lost.at)));
            self.round.requests.push(Request { process, runs, ended, finished, held, lost, answer: reply, begin, end });
        }
        let resource = self.resource(resource);
        resource.stores.extend(stores);
        if let Some(Held { fence, at, place, hold, .. }) = hold {
            resource.grants.push(Grant {
                process,
                handler,
                fence,
                began,
                granted: at,
                waiting,
                at_once,
                believed,
                until: hold.until().unwrap_or(at),
                certain: hold.until().is_some(),
                lost: hold.lost,
                revived: hold.revived,
                too_long: hold.too_long,
                begin,
                made: place,
                end,
            });
        } else if let Kind::Acquire { waiting: Some(waiting), left: Some(left), .. } = kind
            && !at_once
        {
            resource.tries.push(Try { process, waiting, left, begin, end });
        }
    }
}
