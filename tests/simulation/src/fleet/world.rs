//! [`World`]: everything there is in a run, and the loop.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use orchestrix_locking::Resource;
use orchestrix_locking::simulation::Command;

use super::cluster::Cluster;
use super::events::{Event, Events};
use super::network::{Connection, client};
use super::process::Process;
use super::server_side::{ServerSide, short};
use super::task::Task;
use super::{FaultKind, KINDS, Plan, Time, Trace};
use crate::history::{Checker, Property, Record, Violation};
use crate::scripts::Scripts;

/// More than any run has that comes to an end.
const MOST_EVENTS: u64 = 300_000;

/// Everything.
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) scripts: &'a Scripts,
    pub(super) now: Time,
    pub(super) random: Rng,
    pub(super) events: Events,
    pub(super) checker: Checker,
    /// One, or those of a cluster.
    pub(super) servers: Vec<ServerSide>,
    pub(super) cluster: Option<Cluster>,
    pub(super) processes: Vec<Process>,
    pub(super) connections: Vec<Connection>,
    pub(super) resources: Vec<Resource>,
    /// The keys of each.
    pub(super) keys: Vec<[String; 4]>,
    pub(super) trace: Trace,
    pub(super) counts: Counts,
    pub(super) next_process: usize,
    pub(super) next_operation: u64,
    pub(super) next_hold: usize,
    /// Owner tokens of acquires that ran later than their lease after their connection was closed: the engine looks for
    /// them no longer.
    pub(super) excused: BTreeSet<Vec<u8>>,
    /// When each number of a grant was given out, by the number of its [counter](World::counter_of).
    pub(super) granted_at: BTreeMap<(usize, u64), Time>,
    /// A lock that was granted no later may be forgotten by the server, or end early there.
    pub(super) broken_at: Option<Time>,
    /// When the last task was done, and the last fault over.
    pub(super) done_at: Time,
    /// When the server was asked for something last.
    pub(super) last_run: Time,
}

/// How much there was of everything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after what is counted")]
pub struct Counts {
    pub acquires: u64,
    pub granted: u64,
    /// Of those, shared ones, permits, and names that stay taken for a time.
    pub shared: u64,
    pub permits: u64,
    pub kept: u64,
    pub busy: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub late: u64,
    pub extensions: u64,
    pub releases: u64,
    pub scripts: u64,
    /// Runs on a cluster.
    pub clusters: u64,
    /// Commands that a node of a cluster did not run.
    pub redirected: u64,
    pub events: u64,
    /// Holds beside others, where the server had forgotten one.
    pub overlaps: u64,
    /// Virtual time, in microseconds.
    pub time: Time,
    pub faults: [u64; KINDS],
}

impl Counts {
    /// Acquires, extensions and releases.
    pub fn operations(&self) -> u64 {
        self.acquires + self.extensions + self.releases
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.acquires, other.acquires),
            (&mut self.granted, other.granted),
            (&mut self.shared, other.shared),
            (&mut self.permits, other.permits),
            (&mut self.kept, other.kept),
            (&mut self.busy, other.busy),
            (&mut self.failed, other.failed),
            (&mut self.cancelled, other.cancelled),
            (&mut self.late, other.late),
            (&mut self.extensions, other.extensions),
            (&mut self.releases, other.releases),
            (&mut self.scripts, other.scripts),
            (&mut self.clusters, other.clusters),
            (&mut self.redirected, other.redirected),
            (&mut self.events, other.events),
            (&mut self.overlaps, other.overlaps),
            (&mut self.time, other.time),
        ];
        pairs.into_iter().chain(self.faults.iter_mut().zip(other.faults)).for_each(|(sum, more)| *sum += more);
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How much there was.
    pub counts: Counts,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// What happened, if it was written down.
    pub trace: Trace,
}

/// Runs a plan.
pub fn run(plan: &Plan, scripts: &Scripts, traced: bool) -> Outcome {
    let mut world = World {
        plan,
        scripts,
        now: 0,
        random: Rng::with_seed(plan.seed),
        events: Events::default(),
        checker: Checker::new(plan.breaks_fences()),
        servers: (0..plan.servers.max(1)).map(|_| ServerSide::new()).collect(),
        cluster: None,
        processes: Vec::new(),
        connections: Vec::new(),
        resources: (0..plan.resources).filter_map(|number| Resource::try_from(format!("r{number}")).ok()).collect(),
        keys: Vec::new(),
        trace: Trace::new(traced),
        counts: Counts::default(),
        next_process: 0,
        next_operation: 0,
        next_hold: 0,
        excused: BTreeSet::new(),
        granted_at: BTreeMap::new(),
        broken_at: None,
        done_at: 0,
        last_run: 0,
    };
    world.begin();
    world.go_on();
    world.look_at_the_rest();
    let World { mut counts, checker, trace, now, .. } = world;
    (counts.time, counts.overlaps) = (now, checker.overlaps());
    Outcome { counts, violations: checker.violations().to_vec(), trace }
}

impl World<'_> {
    fn begin(&mut self) {
        for (process, plan) in self.plan.processes.iter().enumerate() {
            let tasks = plan.tasks.iter().cloned().map(Task::new).collect();
            let Some(started) = self.begin_process(process, 0, tasks) else { return };
            self.processes.push(started);
        }
        if let Some(of) = self.processes.first() {
            self.keys = self.resources.iter().map(|resource| of.node.keys_of(resource)).collect();
            let servers = self.servers.len();
            if servers > 1 {
                let slots = self.resources.iter().map(|resource| of.node.slot_of(resource)).collect();
                self.cluster = Some(Cluster::new(slots, servers, || self.random.usize(0..servers)));
                self.counts.clusters = 1;
            }
        }
        for process in 0..self.processes.len() {
            self.start_process(process);
        }
        for (number, fault) in self.plan.faults.iter().enumerate() {
            if let FaultKind::Failover { lost, .. } = fault.kind {
                self.events.add(fault.at.saturating_sub(lost), Event::Snapshot(number));
            }
            self.events.add(fault.at, Event::Fault(number));
        }
        self.events.add(0, Event::Inspect);
    }

    fn go_on(&mut self) {
        while let Some((at, event)) = self.events.next() {
            self.now = at;
            self.counts.events += 1;
            if self.counts.events > MOST_EVENTS {
                return self.broken(Property::P7, None, "the run does not come to rest".to_owned());
            }
            if !self.checker.violations().is_empty() {
                return;
            }
            if !matches!(event, Event::Inspect) && !self.is_done() {
                self.done_at = at;
            }
            self.happen(event);
        }
    }

    fn is_done(&self) -> bool {
        self.processes.iter().all(|of| of.tasks.iter().all(Task::is_done))
    }

    fn happen(&mut self, event: Event) {
        // What comes to a process that stands still waits.
        if let Some(process) = event.process()
            && let Some(of) = self.processes.get_mut(process)
            && of.stands_still.is_some()
        {
            of.held.push(event);
            return;
        }
        match event {
            Event::Task { process, incarnation, task } if self.is(process, incarnation) => {
                let blocked = self.processes.get(process).map_or(0, |of| of.blocked_until);
                if blocked > self.now { self.task_at(process, task, blocked) } else { self.task(process, task) }
            }
            Event::Timer { process, incarnation } if self.is(process, incarnation) => self.timer(process),
            Event::Flush { process, incarnation, link } if self.is(process, incarnation) => self.flush(process, link),
            Event::Connect { process, incarnation, link, attempt } if self.is(process, incarnation) => {
                self.connect(process, link, attempt);
            }
            Event::Overdue { process, incarnation, link, attempt } if self.is(process, incarnation) => {
                self.overdue(process, link, attempt);
            }
            Event::Mapped { process, incarnation, map } if self.is(process, incarnation) => self.mapped(process, map),
            Event::MapAgain { process, incarnation } if self.is(process, incarnation) => self.map_again(process),
            Event::Resume { process, incarnation } if self.is(process, incarnation) => self.resume(process),
            Event::Arrive { process, connection, command } => {
                self.last_run = self.now;
                self.arrive(process, connection, command);
            }
            Event::Reply { process, connection, number, reply } => self.reply(process, connection, number, &reply),
            Event::Notify { process, connection, text } => {
                let Some(link) = self.link_of(process, connection) else { return };
                self.note(Some(process), None, || format!("hears {}", heard(&text)));
                self.with_node(process, |node| node.notified(link, &text));
            }
            Event::Silent { process, connection, number } => self.silent(process, connection, number),
            Event::Closed { process, connection } => {
                if let Some(link) = self.link_of(process, connection) {
                    self.lose_connection(process, link, false);
                }
            }
            // Of a process or a connection that has ended.
            Event::Task { .. }
            | Event::Timer { .. }
            | Event::Flush { .. }
            | Event::Connect { .. }
            | Event::Overdue { .. }
            | Event::Mapped { .. }
            | Event::MapAgain { .. }
            | Event::Resume { .. } => {}
            Event::Noticed { connection } => {
                let server = self.connections.get(connection).map(|of| of.server);
                if let Some(of) = server.and_then(|server| self.servers.get_mut(server)) {
                    of.server.disconnect(client(connection));
                }
            }
            Event::Snapshot(fault) => self.snapshot(fault),
            Event::Fault(fault) => {
                self.done_at = self.now;
                self.fault(fault);
            }
            Event::ServerResumes(server) => {
                self.done_at = self.now;
                self.server_resumes(server);
            }
            Event::ServerTakesWrites(server) => {
                self.done_at = self.now;
                self.server_takes_writes(server);
            }
            Event::MoveStep => {
                self.done_at = self.now;
                self.move_step();
            }
            Event::Hears { server } => {
                self.done_at = self.now;
                self.hears(server);
            }
            Event::Inspect => self.inspect(),
        }
    }

    fn is(&self, process: usize, incarnation: usize) -> bool {
        self.processes.get(process).is_some_and(|of| of.incarnation == incarnation)
    }

    fn reply(&mut self, process: usize, connection: usize, number: u64, reply: &[u8]) {
        let Some(link) = self.link_of(process, connection) else { return };
        let delivered = self.with_node(process, |node| node.replied(link, number, reply)).flatten();
        match delivered {
            Some(false) => self.lose_connection(process, link, false),
            Some(true) => {
                if let Some(of) = self.processes.get_mut(process).and_then(|of| of.links.get_mut(&link)) {
                    of.worked = true;
                }
            }
            None => {}
        }
    }

    /// Which counter gives a resource its fencing tokens: in a cluster each has its own.
    pub(super) fn counter_of(&self, resource: usize) -> usize {
        if self.cluster.is_some() { resource } else { 0 }
    }

    /// Records what was seen.
    pub(super) fn see(&mut self, record: Record) {
        self.checker.see(self.now, record);
    }

    pub(super) fn broken(&mut self, property: Property, resource: Option<usize>, what: String) {
        self.see(Record::Broken { property, what, resource });
    }

    pub(super) fn note(&mut self, process: Option<usize>, resource: Option<usize>, what: impl FnOnce() -> String) {
        self.trace.note(self.now, process, resource, what);
    }

    pub(super) fn note_command(&mut self, process: usize, command: &Command) {
        for (lock, token) in command.locks() {
            let resource = self.number_of(lock);
            let (action, number) = (command.action, command.number);
            self.note(Some(process), Some(resource), || {
                format!("sends {action:?} {} (command {number})", short(token))
            });
        }
    }

    /// Which resource a lock's key is of.
    pub(super) fn number_of(&self, lock: &[u8]) -> usize {
        self.keys.iter().position(|[key, ..]| key.as_bytes() == lock).unwrap_or(usize::MAX)
    }
}

/// A notification with its token in few letters.
fn heard(text: &str) -> String {
    let parts = text.split(':').map(|part| if part.len() == 49 { short(part.as_bytes()) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join(":")
}
