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
    untrusted: Windows,
    /// By whom it was for; `None`: the server, and so everybody.
    felt: HashMap<Option<u32>, Windows>,
}

#[derive(Debug, Clone)]
struct Fault {
    target: Option<u32>,
    trusted: bool,
    from: u64,
    to: Option<u64>,
    /// No connection, message or queue is lost by it.
    light: bool,
    /// When everybody whom it touched was gone, and nothing was left.
    rest: Option<u64>,
}

impl Faults {
    pub(super) fn begins(&mut self, op: u64, at: u64, kind: &str, target: Option<u32>, trusted: bool) {
        self.by_op.insert(op, self.all.len());
        self.all.push(Fault { target, trusted, from: at, to: None, light: kind == "scripts_flushed", rest: None });
    }

    /// Everything is healed, every process has ended, and the server was looked at: what begins from now on is touched
    /// by nothing before.
    pub(super) fn rests(&mut self, at: u64) {
        for fault in self.all.iter_mut().rev().take_while(|fault| fault.rest.is_none()) {
            fault.rest = fault.to.map(|to| to.max(at));
        }
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

    /// A process has ended, which is a fault to whoever dealt with it; when within the last while is not known.
    pub(super) fn gone(&mut self, process: u32, at: u64) {
        let from = at.saturating_sub(FELT);
        let fault = Fault { target: Some(process), trusted: true, from, to: Some(at), light: false, rest: None };
        self.all.push(fault);
    }

    /// Everything that is to be known is; `lease` is the longest that there was.
    pub(super) fn settle(&mut self, lease: u64) {
        let untrusted = self.all.iter().filter(|fault| !fault.trusted);
        self.untrusted = Windows::new(untrusted.map(|fault| fault.window(lease)).collect());
        let mut felt = HashMap::<_, Vec<_>>::new();
        for fault in &self.all {
            felt.entry(fault.target).or_default().push(fault.felt(lease));
        }
        self.felt = felt.into_iter().map(|(target, windows)| (target, Windows::new(windows))).collect();
    }

    /// Whether two certain holds may overlap now: a fault that the lock does not withstand is on, or was within the
    /// longest lease.
    pub(super) fn excuse(&self, at: u64) -> bool {
        self.untrusted.meet(at, at)
    }

    /// Whether the process, or everybody, was under a fault at some time.
    pub(super) fn touch(&self, process: u32, from: u64, to: u64) -> bool {
        let meets = |target| self.felt.get(&target).is_some_and(|windows: &Windows| windows.meet(from, to));
        meets(None) || meets(Some(process))
    }

    pub(super) fn count(&self) -> (u64, u64) {
        let untrusted = self.all.iter().filter(|fault| !fault.trusted).count();
        (self.all.len() as u64, untrusted as u64)
    }
}

impl Fault {
    /// A message that was lost may be made up for by the next renewal only, or by the end of the lease.
    fn felt(&self, lease: u64) -> (u64, u64) {
        let (from, to) = self.window(if self.light { HARDLY_FELT } else { FELT + lease });
        (from, self.rest.map_or(to, |rest| to.min(rest)))
    }

    fn window(&self, after: u64) -> (u64, u64) {
        (self.from, self.to.map_or(u64::MAX, |to| to.saturating_add(after)))
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
