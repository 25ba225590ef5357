//! From lines to operations: what each acquire and each request came to.

use std::collections::{HashMap, HashSet, VecDeque};

use super::hold::Hold;
use super::record::{Answer, Final, Free, Grant, Left, Place, Reply, Request, Resource, Round, Store, StoreEnd, Try};
use super::statistics::Figures;
use crate::history::{Event, Line, Outcome, Side};

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
    /// The longest lease that anybody asked for.
    lease: u64,
}

/// An acquire or a request, and what was done under its lock.
#[derive(Debug)]
struct Operation {
    resource: u32,
    began: u64,
    begin: Place,
    end: Place,
    kind: Kind,
    hold: Option<Held>,
    extending: Option<(u64, Place)>,
    releasing: Option<(u64, Place)>,
    storing: Option<(Side, u64, Option<u64>, Place)>,
    read: Option<u64>,
    stores: Vec<Store>,
    closed: bool,
}

#[derive(Debug)]
enum Kind {
    Acquire { lease: u64, wait: Option<u64>, waiting: Option<u64>, left: Option<u64>, ended: bool },
    Request { runs: u32, ended: u32, reply: Reply },
}

#[derive(Debug)]
struct Held {
    fence: u64,
    at: u64,
    place: Place,
    hold: Hold,
}

impl Operations {
    pub(super) fn name(&self, resource: usize) -> &str {
        self.names.get(resource).map_or("?", String::as_str)
    }

    pub(super) fn lease(&self) -> u64 {
        self.lease
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
            Event::Acquire { resource, ttl, wait, .. } => {
                self.lease = self.lease.max(ttl);
                let kind = Kind::Acquire { lease: ttl, wait, waiting: None, left: None, ended: false };
                self.begin((process, op), &resource, at, place, kind)
            }
            Event::Request { resource } => {
                let kind = Kind::Request { runs: 0, ended: 0, reply: Reply::None };
                self.begin((process, op), &resource, at, place, kind)
            }
            Event::Fault { target, trusted, .. } => {
                self.round.faults.begins(op, at, target, trusted);
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
                self.round.lefts.push(Left { keys, locks, waiters, place });
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
                if let Event::Extend { by, .. } = event {
                    self.lease = self.lease.max(by);
                }
                let operation = self.open.get_mut(&(process, op)).ok_or("an operation goes on that never began")?;
                let was_closed = operation.closed;
                let answer = operation.goes_on(at, event, place, figures)?;
                let (number, closes) = (operation.resource, operation.closed && !was_closed);
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
        let next = Round { faults: self.round.faults.clone(), ..Round::default() };
        let mut round = std::mem::replace(&mut self.round, next);
        round.resources.resize_with(self.names.len(), Resource::default);
        for resource in &mut round.resources {
            resource.grants.sort_by_key(|grant| (grant.fence, grant.granted));
        }
        round.faults.settle(self.lease);
        figures.resources = self.names.len() as u64;
        (figures.faults, figures.untrusted_faults) = round.faults.count();
        round
    }

    fn begin(&mut self, id: Id, resource: &str, at: u64, place: Place, kind: Kind) -> Result<(), &'static str> {
        let operation = Operation {
            resource: self.number(resource),
            began: at,
            begin: place,
            end: place,
            kind,
            hold: None,
            extending: None,
            releasing: None,
            storing: None,
            read: None,
            stores: Vec::new(),
            closed: false,
        };
        match self.open.insert(id, operation) {
            Some(_) => Err("an operation begins twice"),
            None => Ok(()),
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
        if let Kind::Request { runs, ended, reply } = kind {
            self.round.requests.push(Request { process, runs, ended, answer: reply, begin, end });
        }
        let resource = self.resource(resource);
        resource.stores.extend(stores);
        if let Some(Held { fence, at, place, hold }) = hold {
            resource.grants.push(Grant {
                process,
                handler,
                fence,
                began,
                granted: at,
                waiting,
                at_once,
                until: hold.until().unwrap_or(at),
                certain: hold.until().is_some(),
                lost: hold.lost,
                revived: hold.revived,
                too_long: hold.too_long,
                begin,
                grant: place,
                end,
            });
        } else if let Kind::Acquire { waiting: Some(waiting), left: Some(left), .. } = kind
            && !at_once
        {
            resource.tries.push(Try { process, waiting, left, begin, end });
        }
    }
}

impl Operation {
    fn goes_on(
        &mut self,
        at: u64,
        event: Event,
        place: Place,
        figures: &mut Figures,
    ) -> Result<Option<Answer>, &'static str> {
        self.end = place;
        match event {
            Event::Waiting | Event::Granted { .. } | Event::Ended { .. } => self.acquires(at, event, place, figures)?,
            Event::Handler { .. } | Event::HandlerEnds | Event::Answered { .. } => self.handles(at, event, place)?,
            Event::Store { side, value } => {
                if self.hold.is_none() {
                    return Err("a store without a lock");
                }
                self.give_up_storing();
                self.storing = Some((side, at, value, place));
            }
            Event::Stored { side, outcome, value } => self.stored(side, &outcome, value, at)?,
            event => return self.holds(at, event, place, figures),
        }
        Ok(None)
    }

    fn acquires(&mut self, at: u64, event: Event, place: Place, figures: &mut Figures) -> Result<(), &'static str> {
        let Kind::Acquire { lease, wait, waiting, left, ended } = &mut self.kind else {
            return Err("a request goes on as an acquire");
        };
        if *ended {
            return Err("an acquire ends twice, or goes on when it has ended");
        }
        match event {
            Event::Waiting => *waiting = Some(at),
            Event::Granted { fence, deadline } => {
                *ended = true;
                let hold = Hold::new(at, deadline, *lease, place);
                self.hold = Some(Held { fence: fence.get(), at, place, hold });
            }
            Event::Ended { outcome } => {
                *ended = true;
                self.closed = true;
                match outcome {
                    Outcome::Yes => return Err("an acquire ends with yes and without a grant"),
                    Outcome::No => {
                        figures.not_granted += 1;
                        // Its time was up then, at the earliest.
                        *left = Some(wait.map_or(at, |wait| self.began.saturating_add(wait).min(at)));
                    }
                    Outcome::GivenUp => {
                        figures.given_up += 1;
                        *left = Some(at);
                    }
                    // When it left the queue, nobody knows.
                    Outcome::Failed(_) | Outcome::Unknown(_) => figures.failed += 1,
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn handles(&mut self, at: u64, event: Event, place: Place) -> Result<(), &'static str> {
        let Kind::Request { runs, ended, reply } = &mut self.kind else {
            return Err("an acquire goes on as a request");
        };
        match event {
            Event::Handler { fence } => {
                *runs += 1;
                if self.hold.is_none() {
                    // It was held when it began; beyond that, the lines say.
                    let hold = Hold::new(at, at.saturating_add(1), u64::MAX / 2, place);
                    self.hold = Some(Held { fence: fence.get(), at, place, hold });
                }
            }
            Event::HandlerEnds => {
                *ended += 1;
                if let Some(Held { hold, .. }) = &mut self.hold {
                    hold.released(at, true, place);
                }
            }
            Event::Answered { outcome } => {
                if self.closed {
                    return Err("a request is answered twice");
                }
                self.closed = true;
                *reply = match outcome {
                    Outcome::Yes => Reply::Handler,
                    Outcome::No | Outcome::Failed(_) => Reply::Refusal,
                    Outcome::Unknown(_) => Reply::Unknown,
                    Outcome::GivenUp => Reply::GivenUp,
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn holds(
        &mut self,
        at: u64,
        event: Event,
        place: Place,
        figures: &mut Figures,
    ) -> Result<Option<Answer>, &'static str> {
        let Some(Held { fence, hold, .. }) = &mut self.hold else { return Err("a hold goes on that never began") };
        let (begun, release, outcome) = match event {
            Event::Held { deadline } => {
                hold.held(at, deadline, place);
                return Ok(None);
            }
            Event::Extend { by } => {
                self.extending = Some((at, place));
                hold.extends(at, by);
                return Ok(None);
            }
            Event::Lost { deadline } => {
                hold.is_lost(at, deadline);
                return Ok(None);
            }
            Event::Release { held, dropped } => {
                self.releasing = Some((at, place));
                hold.released(at, held, place);
                self.closed |= dropped;
                return Ok(None);
            }
            Event::Extended { outcome, deadline } => {
                let begun = self.extending.take().ok_or("an extension is answered that never began")?;
                match &outcome {
                    Outcome::Yes => hold.extended(begun.0, at, deadline, place),
                    Outcome::No => hold.denied(begun.0, at),
                    _ => hold.unknown(deadline),
                }
                match &outcome {
                    Outcome::Yes => figures.extended += 1,
                    Outcome::No => figures.not_extended += 1,
                    _ => figures.extension_failed += 1,
                }
                (begun, false, outcome)
            }
            Event::Released { outcome } => {
                self.closed = true;
                let begun = self.releasing.take().ok_or("a release is answered that never began")?;
                match &outcome {
                    Outcome::Yes => figures.released += 1,
                    Outcome::No => figures.already_lost += 1,
                    _ => figures.release_failed += 1,
                }
                if outcome == Outcome::Yes {
                    hold.was_ours(begun.0, place);
                }
                (begun, true, outcome)
            }
            _ => return Err("a line of no operation"),
        };
        let yes = match outcome {
            Outcome::Yes => true,
            Outcome::No => false,
            _ => return Ok(None),
        };
        Ok(Some(Answer { fence: *fence, release, yes, began: begun.0, ended: at, begin: begun.1, end: place }))
    }

    fn stored(&mut self, side: Side, outcome: &Outcome, value: Option<u64>, at: u64) -> Result<(), &'static str> {
        match &self.storing {
            Some((begun, ..)) if *begun == side => {}
            _ => return Err("a store answers what it was not asked"),
        }
        let end = match outcome {
            Outcome::Yes => StoreEnd::Done { at },
            Outcome::No => StoreEnd::Refused { at },
            _ => StoreEnd::Unknown,
        };
        self.store_ends(end, value);
        Ok(())
    }

    /// A store that was not answered before the next one, or at all.
    fn give_up_storing(&mut self) {
        self.store_ends(StoreEnd::Unknown, None);
    }

    fn store_ends(&mut self, end: StoreEnd, read: Option<u64>) {
        let Some((side, began, written, begin)) = self.storing.take() else { return };
        let Some(Held { fence, .. }) = &self.hold else { return };
        let write = side == Side::Write;
        let value = if write { written } else { read }.unwrap_or(0);
        let before = if write { self.read.take() } else { None };
        if !write && matches!(end, StoreEnd::Done { .. }) {
            self.read = Some(value);
        }
        self.stores.push(Store { fence: *fence, write, value, read: before, began, end, begin });
    }
}
