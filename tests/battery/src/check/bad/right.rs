//! A correct history: one lock after the other, served in the order in which its callers came.

use std::collections::HashMap;

use super::dice::Dice;
use crate::check::record::TURNS;
use crate::history::{Event, Line, Outcome, Side};

pub(super) const MS: u64 = 1_000_000;
pub(super) const TTL: u64 = 100 * MS;
/// When the server's clock was read, which shows the time of these lines.
const CLOCK_READ: u64 = 500 * MS;
/// What a lease is worth.
const WORTH: u64 = 97 * MS;

/// Lines in the order of time, of some processes and some resources.
pub(super) fn history(seed: u64, faults: bool) -> Vec<Line> {
    let mut simulation = Simulation { dice: Dice::new(seed), lines: Vec::new(), ops: 0, killed: 100, faults };
    for resource in ["shared:0", "shared:1"] {
        simulation.resource(resource);
    }
    simulation.put(CLOCK_READ, 0, 9_005, Event::Clock { wall: CLOCK_READ / 1_000 });
    simulation.lines.sort_by_key(|line| line.at);
    let end = simulation.lines.last().map_or(0, |line| line.at) + MS;
    for process in 1..=3 {
        simulation.put(end, 0, 9_000, Event::Gone { process });
    }
    simulation.put(end + 1, 0, 9_004, Event::Undone { left: Vec::new() });
    simulation.put(end + MS, 0, 9_001, Event::Left { keys: Vec::new(), locks: 0, waiters: 0 });
    for resource in ["shared:0", "shared:1"] {
        simulation.put(end + 2 * MS, 0, 9_002, Event::Free { resource: resource.into(), after: 3 * MS });
    }
    simulation.lines.sort_by_key(|line| line.at);
    simulation.lines
}

struct Simulation {
    dice: Dice,
    lines: Vec<Line>,
    ops: u64,
    killed: u32,
    faults: bool,
}

/// Something that is to be done in a store, when everything before it is known.
struct Stores {
    at: u64,
    process: u32,
    op: u64,
    fence: u64,
    side: Side,
    answered: bool,
}

impl Simulation {
    fn put(&mut self, at: u64, process: u32, op: u64, event: Event) {
        self.lines.push(Line { at, process, op, event });
    }

    fn resource(&mut self, resource: &str) {
        let mut stores = Vec::new();
        let (mut now, mut free) = (1_000 * MS, 0);
        for _ in 0..60 {
            now += self.dice.between(MS / 100, 24 * MS);
            self.ops += 1;
            if self.dice.one_in(4) {
                free = self.request(resource, now, free);
            } else {
                free = self.acquire(resource, now, free, &mut stores);
            }
        }
        self.stores(resource, stores);
    }

    fn request(&mut self, resource: &str, now: u64, free: u64) -> u64 {
        let (process, op) = (self.dice.between(1, 4) as u32, self.ops);
        let granted = now.max(free) + self.dice.between(MS / 20, MS / 2);
        self.put(now, process, op, Event::Request { resource: resource.into(), ttl: TTL });
        if granted > now + 80 * MS {
            let outcome = Outcome::Failed("Busy".into());
            self.put(now + 80 * MS, process, op, Event::Answered { outcome });
            return free;
        }
        let ends = granted + self.dice.between(MS, 10 * MS);
        self.put(granted, process, op, Event::Handler { fence: token(fence_at(granted)), deadline: granted + WORTH });
        self.put(ends, process, op, Event::HandlerEnds { finished: true, held: true });
        let answered = ends + self.dice.between(100, MS);
        self.put(answered, process, op, Event::Answered { outcome: Outcome::Yes });
        ends
    }

    fn acquire(&mut self, resource: &str, now: u64, free: u64, stores: &mut Vec<Stores>) -> u64 {
        let dies = self.dice.one_in(20);
        let process = if dies { self.killed } else { self.dice.between(1, 4) as u32 };
        self.killed += u32::from(dies);
        let op = self.ops;
        let wait = match self.dice.below(6) {
            0 => Some(0),
            1 => Some(60 * MS),
            _ => None,
        };
        let acquire = Event::Acquire { resource: resource.into(), ttl: TTL, wait, renewed: false };
        self.put(now, process, op, acquire);
        if dies {
            self.put(now + 2_000 * MS, 0, 8_000, Event::Gone { process });
        }
        self.put(now + 40, process, op, Event::Waiting);
        let granted = now.max(free) + self.dice.between(MS / 20, MS / 2);
        // No other task is granted it before its time is up.
        let free_for_all = now.max(free) + MS / 20;
        if wait.is_some_and(|wait| if wait == 0 { free > now } else { free_for_all > now + wait }) {
            let at = now + wait.unwrap_or(0) + self.dice.between(MS / 10, MS);
            self.put(at, process, op, Event::Ended { outcome: Outcome::No });
            return free;
        }
        if self.dice.one_in(12) {
            // Before another task can be granted it.
            let at = self.dice.between(now + 50, free_for_all);
            let outcome = if self.dice.one_in(3) { Outcome::Failed("Backend".into()) } else { Outcome::GivenUp };
            self.put(at, process, op, Event::Ended { outcome });
            return free;
        }
        let (deadline, fence) = (granted + WORTH, fence_at(granted));
        self.put(granted, process, op, Event::Granted { fence: token(fence), deadline });
        let mut store = |at, side, answered| stores.push(Stores { at, process, op, fence, side, answered });
        if dies {
            store(granted + MS, Side::Read, true);
            store(granted + 2 * MS, Side::Write, false);
            return granted + TTL;
        }
        if self.dice.one_in(2) {
            store(granted + MS + self.dice.below(900), Side::Read, true);
            store(granted + 2 * MS + self.dice.below(900), Side::Write, true);
        }
        if self.dice.one_in(10) {
            return self.is_lost(process, op, granted, fence, stores);
        }
        let mut at = granted + self.dice.between(4 * MS, 8 * MS);
        if self.dice.one_in(3) {
            self.put(at, process, op, Event::Held { deadline });
            at += self.dice.between(MS / 2, 5 * MS);
        }
        if self.dice.one_in(3) {
            self.put(at, process, op, Event::Extend { by: TTL });
            let deadline = at + WORTH;
            at += self.dice.between(MS / 2, 5 * MS);
            self.put(at, process, op, Event::Extended { outcome: Outcome::Yes, deadline });
            at += self.dice.between(MS / 2, 5 * MS);
        }
        if self.faults && self.dice.one_in(6) {
            return self.server_forgets(process, op, at);
        }
        let dropped = self.dice.one_in(4);
        self.put(at, process, op, Event::Release { held: true, dropped });
        if !dropped {
            let answered = at + self.dice.between(1_000, MS);
            self.put(answered, process, op, Event::Released { outcome: Outcome::Yes });
        }
        at
    }

    /// It stands still until its lease is over, is told, and writes all the same.
    fn is_lost(&mut self, process: u32, op: u64, granted: u64, fence: u64, stores: &mut Vec<Stores>) -> u64 {
        let deadline = granted + WORTH;
        let heard = deadline + self.dice.below(MS);
        self.put(heard, process, op, Event::Lost { deadline });
        let over = granted + TTL;
        let mut store = |at, side| stores.push(Stores { at, process, op, fence, side, answered: true });
        store(over + self.dice.between(4 * MS, 15 * MS), Side::Read);
        store(over + self.dice.between(16 * MS, 25 * MS), Side::Write);
        let at = over + self.dice.between(30 * MS, 40 * MS);
        self.put(at, process, op, Event::Release { held: false, dropped: false });
        self.put(at + MS, process, op, Event::Released { outcome: Outcome::No });
        over
    }

    /// The next one is granted the lock while this one believes in it still.
    fn server_forgets(&mut self, process: u32, op: u64, at: u64) -> u64 {
        self.ops += 1;
        let fault = self.ops;
        let kind = String::from("forgets");
        let begins = Event::Fault { kind: kind.clone(), target: None, trusted: false, detail: String::new(), moved: 0 };
        self.put(at, 0, fault, begins);
        self.put(at + 10 * MS, 0, fault, Event::Healed { kind });
        self.put(at + 20 * MS, process, op, Event::Release { held: true, dropped: false });
        self.put(at + 21 * MS, process, op, Event::Released { outcome: Outcome::No });
        at
    }

    /// The store does what it was asked in the order of time.
    fn stores(&mut self, resource: &str, mut stores: Vec<Stores>) {
        stores.sort_by_key(|store| store.at);
        let (mut value, mut highest, mut last) = (0, 0, 0);
        let mut reads = HashMap::new();
        for Stores { at, process, op, fence, side, answered } in stores {
            let read = reads.remove(&op);
            if side == Side::Write && read.is_none() {
                continue;
            }
            let asked = (side == Side::Write).then(|| read.unwrap_or(0) + 1);
            self.put(at, process, op, Event::Store { side, value: asked });
            let stale = fence < highest;
            let runs = !stale && (answered || self.dice.one_in(2));
            if runs {
                highest = fence;
                value = asked.unwrap_or(value);
            }
            if !stale && side == Side::Read {
                reads.insert(op, value);
            }
            last = at;
            if answered {
                let outcome = if stale { Outcome::No } else { Outcome::Yes };
                let value = if stale { None } else { Some(value) };
                let answered = at + self.dice.between(100, MS / 2);
                self.put(answered, process, op, Event::Stored { side, outcome, value });
            }
        }
        self.put(last + 3_000 * MS, 0, 9_003, Event::Final { resource: resource.into(), value });
    }
}

/// What the server gives at this time.
pub(super) fn fence_at(at: u64) -> u64 {
    at / 1_000 * TURNS
}

pub(super) fn token(fence: u64) -> orchestrix_locking::FencingToken {
    orchestrix_locking::FencingToken::new(fence).unwrap()
}
