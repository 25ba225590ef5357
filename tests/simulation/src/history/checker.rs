//! [`Checker`]: looks at records one after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::local_order::LocalOrder;
use super::store::Store;
use super::{HoldId, ProcessId, Property, Record, Violation};
use crate::fleet::Time;

/// Says of a run what must not be.
#[derive(Debug, Default)]
pub struct Checker {
    /// The server may have forgotten its numbers while its clock went back.
    falling_fences_allowed: bool,
    resources: BTreeMap<usize, OfResource>,
    holds: BTreeMap<HoldId, Hold>,
    callers: LocalOrder,
    operations: BTreeMap<u64, Open>,
    violations: Vec<Violation>,
    overlaps: u64,
}

#[derive(Debug, Default)]
struct OfResource {
    held: Vec<HoldId>,
    fences: BTreeSet<u64>,
    highest: u64,
    store: Store,
}

#[derive(Debug)]
struct Hold {
    resource: usize,
    fence: u64,
    until: Time,
    certain: bool,
    ended: bool,
}

#[derive(Debug)]
struct Open {
    process: ProcessId,
    until: Time,
}

impl Checker {
    /// One that has seen nothing.
    pub fn new(falling_fences_allowed: bool) -> Self {
        Self { falling_fences_allowed, ..Self::default() }
    }

    /// What was found until now.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many overlaps there were that may be.
    pub fn overlaps(&self) -> u64 {
        self.overlaps
    }

    /// Which operations have not ended.
    pub fn unfinished(&self) -> impl Iterator<Item = u64> {
        self.operations.keys().copied()
    }

    fn violated(&mut self, property: Property, at: Time, resource: Option<usize>, what: impl Into<String>) {
        self.violations.push(Violation { property, at, resource, what: what.into() });
    }

    /// The next record. Times do not go back.
    pub fn see(&mut self, at: Time, record: Record) {
        match record {
            Record::Came { caller, resource, waits } => self.callers.came(caller, resource, waits),
            Record::Left { caller } | Record::Answered { caller, granted: false } => self.callers.left(caller),
            Record::Answered { caller, granted: true } => {
                if let Some((resource, before)) = self.callers.granted(caller) {
                    let what = format!("caller {} was granted the lock before {}", caller.number, before.number);
                    self.violated(Property::P6, at, Some(resource), what);
                }
            }
            Record::Granted { hold, resource, fence, until, certain } => {
                let of = self.resources.entry(resource).or_default();
                of.held.push(hold);
                let (is_new, highest) = (of.fences.insert(fence), of.highest);
                of.highest = highest.max(fence);
                self.holds.insert(hold, Hold { resource, fence, until, certain, ended: false });
                if !self.falling_fences_allowed {
                    if !is_new {
                        self.violated(Property::P1, at, Some(resource), format!("fencing token {fence} twice"));
                    } else if certain && fence < highest {
                        let what = format!("fencing token {fence} after {highest}");
                        self.violated(Property::P1, at, Some(resource), what);
                    }
                }
                self.look_for_overlap(at, hold);
            }
            Record::Until { hold, until } => {
                if let Some(hold) = self.holds.get_mut(&hold) {
                    hold.until = until;
                }
                self.look_for_overlap(at, hold);
            }
            Record::Uncertain { hold } => {
                if let Some(hold) = self.holds.get_mut(&hold) {
                    hold.certain = false;
                }
            }
            Record::Ended { hold: id } => {
                let Some(hold) = self.holds.get_mut(&id) else { return };
                hold.ended = true;
                if let Some(of) = self.resources.get_mut(&hold.resource) {
                    of.held.retain(|held| *held != id);
                }
            }
            Record::Read { hold } => {
                if let Some((_, fence, of)) = self.store(hold) {
                    of.store.read(hold, fence);
                }
            }
            Record::Wrote { hold } => {
                let kept = self.store(hold).map(|(resource, fence, of)| (resource, of.store.write(hold, fence)));
                if let Some((resource, false)) = kept
                    && !self.falling_fences_allowed
                {
                    self.violated(Property::P3, at, Some(resource), "the store has lost an update");
                }
            }
            Record::Began { operation, process, within } => {
                self.operations.insert(operation, Open { process, until: at.saturating_add(within) });
            }
            Record::MayTakeLonger { operation, by } => {
                if let Some(open) = self.operations.get_mut(&operation) {
                    open.until = open.until.saturating_add(by);
                }
            }
            Record::StoodStill { process, time } => {
                for open in self.operations.values_mut().filter(|open| open.process == process) {
                    open.until = open.until.saturating_add(time);
                }
            }
            Record::Finished { operation } => {
                if let Some(open) = self.operations.remove(&operation)
                    && at > open.until
                {
                    let late = at - open.until;
                    self.violated(Property::P7, at, None, format!("operation {operation} ended {late} µs too late"));
                }
            }
            Record::Ran(ran) => {
                if let Some((property, what)) = ran.violation() {
                    self.violated(property, at, Some(ran.resource), what);
                }
            }
            Record::Broken { property, what, resource } => self.violated(property, at, resource, what),
        }
    }

    fn store(&mut self, hold: HoldId) -> Option<(usize, u64, &mut OfResource)> {
        let Hold { resource, fence, .. } = self.holds.get(&hold)?;
        Some((*resource, *fence, self.resources.get_mut(resource)?))
    }

    /// P2: whether a hold that begins now, or whose end was put off, lasts beside another one.
    fn look_for_overlap(&mut self, at: Time, id: HoldId) {
        let lasts = |hold: &&Hold| !hold.ended && hold.until > at;
        let Some(hold) = self.holds.get(&id).filter(lasts) else { return };
        let resource = hold.resource;
        let Some(of) = self.resources.get(&resource) else { return };
        let others =
            || of.held.iter().filter(|other| **other != id).filter_map(|other| self.holds.get(other)).filter(lasts);
        let Some(other) = others().find(|other| hold.certain && other.certain) else {
            self.overlaps += u64::from(others().next().is_some());
            return;
        };
        let (mine, others, left) = (hold.fence, other.fence, other.until - at);
        let what = format!("the holds with fencing tokens {mine} and {others} overlap, by up to {left} µs");
        self.violated(Property::P2, at, Some(resource), what);
    }
}
