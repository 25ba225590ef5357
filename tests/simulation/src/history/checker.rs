//! [`Checker`]: looks at records one after the other.

use std::collections::BTreeMap;

use orchestrix_locking::LockMode;

use super::local_order::LocalOrder;
use super::store::Store;
use super::{HoldId, ProcessId, Property, Ran, Record, Violation};
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
    /// Those that last, and those that keep it taken.
    held: Vec<HoldId>,
    fences: BTreeMap<u64, LockMode>,
    /// The highest fencing token of each number of a permit, and of all else.
    highest: BTreeMap<Option<u32>, u64>,
    stores: BTreeMap<Option<u32>, Store>,
    /// The number of the latest phase that the server has begun.
    phase: u64,
}

impl OfResource {
    /// Below which a fencing token must not be that is given now: permits are taken up in any order.
    fn floor(&self, permit: Option<u32>) -> u64 {
        let counts = |of: &Option<u32>| permit.is_none() || of.is_none() || *of == permit;
        self.highest.iter().filter(|(of, _)| counts(of)).map(|(_, highest)| *highest).max().unwrap_or(0)
    }
}

#[derive(Debug)]
struct Hold {
    resource: usize,
    fence: u64,
    mode: LockMode,
    permit: Option<u32>,
    until: Time,
    kept_until: Option<Time>,
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
            Record::Granted { hold, resource, fence, mode, permit, until, kept_until, certain } => {
                let of = self.resources.entry(resource).or_default();
                of.held.push(hold);
                let (before, floor) = (of.fences.insert(fence, mode), of.floor(permit));
                let highest = of.highest.entry(permit).or_default();
                *highest = fence.max(*highest);
                self.holds
                    .insert(hold, Hold { resource, fence, mode, permit, until, kept_until, certain, ended: false });
                if !self.falling_fences_allowed {
                    let shares = mode == LockMode::Shared && before == Some(LockMode::Shared);
                    if before.is_some() && !shares {
                        self.violated(Property::P1, at, Some(resource), format!("fencing token {fence} twice"));
                    } else if certain && fence < floor {
                        let what = format!("fencing token {fence} after {floor}");
                        self.violated(Property::P1, at, Some(resource), what);
                    }
                }
                if matches!(mode, LockMode::Permits(permits) if permit.is_none_or(|number| number >= permits)) {
                    self.violated(Property::P2, at, Some(resource), format!("{mode:?} has the number {permit:?}"));
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
            Record::Ended { hold: id, released } => {
                let Some(hold) = self.holds.get_mut(&id) else { return };
                hold.ended = true;
                if let Some(kept_until) = hold.kept_until.filter(|until| *until > at && released) {
                    hold.until = kept_until;
                } else if let Some(of) = self.resources.get_mut(&hold.resource) {
                    of.held.retain(|held| *held != id);
                }
            }
            Record::ForgotKept => {
                self.holds.values_mut().filter(|hold| hold.ended).for_each(|hold| hold.certain = false);
            }
            Record::Read { hold } => {
                if let Some((_, fence, store)) = self.store(hold) {
                    store.read(hold, fence);
                }
            }
            Record::Wrote { hold } => {
                let kept = self.store(hold).map(|(resource, fence, store)| (resource, store.write(hold, fence)));
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
                self.look_at_phase(at, &ran);
            }
            Record::Broken { property, what, resource } => self.violated(property, at, resource, what),
        }
    }

    fn store(&mut self, hold: HoldId) -> Option<(usize, u64, &mut Store)> {
        let Hold { resource, fence, permit, .. } = self.holds.get(&hold)?;
        Some((*resource, *fence, self.resources.get_mut(resource)?.stores.entry(*permit).or_default()))
    }

    /// P1: a phase that the server begins has a higher number than those before.
    fn look_at_phase(&mut self, at: Time, ran: &Ran) {
        let Some(phase) = ran.after.phase else { return };
        let of = self.resources.entry(ran.resource).or_default();
        let latest = std::mem::replace(&mut of.phase, phase);
        if ran.before.phase != Some(phase) && phase <= latest && !self.falling_fences_allowed {
            let what = format!("the number {phase} of a phase after {latest}");
            self.violated(Property::P1, at, Some(ran.resource), what);
        }
    }

    /// P2: whether a hold that begins now, or whose end was put off, lasts beside another one that it must not be beside.
    fn look_for_overlap(&mut self, at: Time, id: HoldId) {
        let holds = &self.holds;
        if let Some(of) = self.holds.get(&id).and_then(|hold| self.resources.get_mut(&hold.resource)) {
            of.held.retain(|held| holds.get(held).is_some_and(|hold| !hold.ended || hold.until > at));
        }
        // One that has ended and is here keeps the lock taken.
        let lasts = |hold: &&Hold| hold.until > at;
        let Some(hold) = self.holds.get(&id).filter(lasts) else { return };
        let resource = hold.resource;
        let Some(of) = self.resources.get(&resource) else { return };
        let all = || of.held.iter().filter_map(|held| Some((*held, self.holds.get(held)?)));
        let excluded = |(other, of): &(HoldId, &Hold)| {
            let alike = of.permit.is_some() && of.permit == hold.permit;
            *other != id && lasts(of) && (alike || !of.mode.is_compatible_with(hold.mode))
        };
        let others = || all().filter(excluded).map(|(_, other)| other);
        if let Some(other) = others().find(|other| hold.certain && other.certain) {
            let (mine, others, left) = (hold.fence, other.fence, other.until - at);
            let kept = if other.ended { ", of which the other one keeps it taken," } else { "" };
            let what = format!("the holds with fencing tokens {mine} and {others}{kept} overlap, by up to {left} µs");
            return self.violated(Property::P2, at, Some(resource), what);
        }
        let overlaps = u64::from(others().next().is_some());
        let permits = |hold: &Hold| if let LockMode::Permits(permits) = hold.mode { Some(permits) } else { None };
        let permits: Vec<_> =
            all().map(|(_, hold)| hold).filter(lasts).filter(|hold| hold.certain).filter_map(permits).collect();
        let most = permits.iter().max().and_then(|most| usize::try_from(*most).ok()).unwrap_or(usize::MAX);
        let too_many =
            (permits.len() > most).then(|| format!("{} hold permits, of which there are {most}", permits.len()));
        self.overlaps += overlaps;
        if let Some(what) = too_many {
            self.violated(Property::P2, at, Some(resource), what);
        }
    }
}
