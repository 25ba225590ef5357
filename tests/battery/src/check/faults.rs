//! When which fault was, and whom it touched.

use std::collections::HashMap;

/// How much longer than it lasted a fault may be felt: a connection comes back, and waiters ask again within a second.
const FELT: u64 = 2_000_000_000;

/// The same of a fault after which nothing has to be found out or asked again: each script is sent once more.
const HARDLY_FELT: u64 = 500_000_000;

/// The faults of a run so far.
#[derive(Debug, Default, Clone)]
pub(super) struct Faults {
    all: Vec<Fault>,
    by_op: HashMap<u64, usize>,
    /// When all processes that earlier faults had touched were gone, and nothing was left.
    rests: Vec<u64>,
    /// When a replica began to take its primary's place that may not have had the latest writes.
    losses: Vec<u64>,
    untrusted: Windows,
    /// By the process that felt them; `None`: the server, and so all processes.
    felt: HashMap<Option<u32>, Windows>,
    hardly_felt: HashMap<Option<u32>, Windows>,
    /// When which process stood still.
    stood: HashMap<Option<u32>, Windows>,
}

#[derive(Debug, Clone)]
pub(super) struct Fault {
    target: Option<u32>,
    trusted: bool,
    from: u64,
    to: Option<u64>,
    /// No connection, message or queue is lost by it.
    light: bool,
    /// The process itself stands still.
    stands: bool,
    /// The server's clock was moved by so much.
    moved: u64,
}

impl Faults {
    pub(super) fn begins(&mut self, op: u64, at: u64, kind: &str, target: Option<u32>, trusted: bool, moved: u64) {
        self.by_op.insert(op, self.all.len());
        let (light, stands) = (kind == "scripts_flushed", kind.starts_with("worker_"));
        if matches!(kind, "primary_killed" | "primary_frozen" | "sentinel_failover") {
            self.losses.push(at);
        }
        self.all.push(Fault { target, trusted, from: at, to: None, light, stands, moved });
    }

    /// Everything is healed, every process has ended, and the server was looked at: what begins from now on is touched
    /// by nothing before.
    pub(super) fn rests(&mut self, at: u64) {
        self.rests.push(at);
    }

    /// `false` if it never began.
    pub(super) fn healed(&mut self, op: u64, at: u64) -> bool {
        let fault = self.by_op.remove(&op).and_then(|index| self.all.get_mut(index));
        let known = fault.is_some();
        if let Some(fault) = fault {
            fault.to = Some(at);
        }
        known
    }

    /// A process has ended, which is a fault to the processes that dealt with it; when within the last while is not known.
    pub(super) fn gone(&mut self, process: u32, at: u64) {
        let from = at.saturating_sub(FELT);
        let (target, to) = (Some(process), Some(at));
        let (trusted, light, stands, moved) = (true, false, true, 0);
        self.all.push(Fault { target, trusted, from, to, light, stands, moved });
    }

    /// Everything that is to be known is.
    pub(super) fn settle(&mut self) {
        self.untrusted = Windows::new(self.untrusted().map(Fault::window).collect());
        let of = |wanted: fn(&Fault) -> bool| {
            let mut by_target = HashMap::<_, Vec<_>>::new();
            for fault in self.all.iter().filter(|fault| wanted(fault)) {
                by_target.entry(fault.target).or_default().push(fault.window());
            }
            by_target.into_iter().map(|(target, windows)| (target, Windows::new(windows))).collect()
        };
        let (felt, hardly_felt) = (of(|fault| !fault.light), of(|fault| fault.light));
        self.stood = of(|fault| fault.stands);
        (self.felt, self.hardly_felt) = (felt, hardly_felt);
    }

    /// Whether two certain holds may overlap now: a fault that the lock does not withstand is on, or was within the
    /// longest lease.
    pub(super) fn excuse(&self, at: u64, lease: u64) -> bool {
        self.untrusted.meet(at.saturating_sub(lease), at)
    }

    /// The faults that the lock does not withstand and that are on, or were within the longest lease.
    pub(super) fn untrusted_at(&self, at: u64, lease: u64) -> impl Iterator<Item = &Fault> {
        self.untrusted().filter(move |fault| fault.from <= at && at <= fault.end().saturating_add(lease))
    }

    /// Whether the latest writes may have been lost in the round that ended last.
    pub(super) fn lost_writes(&self) -> bool {
        let begun = self.rests.iter().rev().nth(1).copied().unwrap_or(0);
        self.losses.iter().any(|at| *at >= begun)
    }

    /// By how much the server's clock may have been off at some time between.
    pub(super) fn moved(&self, from: u64, to: u64) -> u64 {
        let on = self.all.iter().filter(|fault| fault.from <= to && from <= fault.end());
        on.map(|fault| fault.moved).max().unwrap_or(0)
    }

    /// By how much the server's clock has been off at most.
    pub(super) fn most_moved(&self) -> u64 {
        self.all.iter().map(|fault| fault.moved).max().unwrap_or(0)
    }

    /// Whether the process, or all of them, was under a fault at some time. A message that was lost may be made up for by
    /// the next renewal only, or by the end of the lease.
    pub(super) fn touch(&self, process: u32, from: u64, to: u64, lease: u64) -> bool {
        let rest = self.rests.iter().rev().find(|rest| **rest <= from).copied().unwrap_or(0);
        [(&self.felt, FELT + lease), (&self.hardly_felt, HARDLY_FELT)].into_iter().any(|(windows, after)| {
            let from = from.saturating_sub(after).max(rest);
            [None, Some(process)].iter().any(|target| windows.get(target).is_some_and(|windows| windows.meet(from, to)))
        })
    }

    /// Whether the process stood still at some time, or had just begun to go on.
    pub(super) fn stood(&self, process: u32, from: u64, to: u64) -> bool {
        let windows = self.stood.get(&Some(process));
        windows.is_some_and(|windows| windows.meet(from.saturating_sub(HARDLY_FELT), to))
    }

    pub(super) fn count(&self) -> (u64, u64) {
        (self.all.len() as u64, self.untrusted().count() as u64)
    }

    fn untrusted(&self) -> impl Iterator<Item = &Fault> {
        self.all.iter().filter(|fault| !fault.trusted)
    }
}

impl Fault {
    pub(super) fn end(&self) -> u64 {
        self.to.unwrap_or(u64::MAX)
    }

    fn window(&self) -> (u64, u64) {
        (self.from, self.end())
    }
}

/// Times from and to, apart from each other and in order.
#[derive(Debug, Default, Clone)]
struct Windows(Vec<(u64, u64)>);

impl Windows {
    fn new(mut windows: Vec<(u64, u64)>) -> Self {
        windows.sort_unstable();
        let mut apart: Vec<(u64, u64)> = Vec::with_capacity(windows.len());
        for (from, to) in windows {
            match apart.last_mut() {
                Some((_, last)) if from <= *last => *last = to.max(*last),
                _ => apart.push((from, to)),
            }
        }
        Self(apart)
    }

    fn meet(&self, from: u64, to: u64) -> bool {
        let after = self.0.partition_point(|(begin, _)| *begin <= to);
        after.checked_sub(1).and_then(|last| self.0.get(last)).is_some_and(|(_, end)| *end >= from)
    }
}
