//! [`Process`]: one process, and what happens to it.

use std::collections::BTreeMap;
use std::time::Duration;

use orchestrix_locking::simulation::{LinkId, Node, NodeOptions};
use orchestrix_locking::{RedisLockOptions, Resource};

use super::clock::Clock;
use super::cluster::FIRST_PORT;
use super::events::Event;
use super::map::MapTask;
use super::task::Task;
use super::world::World;
use super::{MILLISECOND, Time};
use crate::history::{CallerId, ProcessId, Property, Record};

/// One process.
#[derive(Debug)]
pub(super) struct Process {
    /// How many there were in its place before.
    pub(super) incarnation: usize,
    pub(super) id: ProcessId,
    pub(super) node: Node,
    pub(super) clock: Clock,
    /// Its connections: one, or in a cluster one for each server.
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) map: MapTask,
    /// It does nothing, since then. Whether its clock stands still as well.
    pub(super) stands_still: Option<(Time, bool)>,
    /// What happened to it since.
    pub(super) held: Vec<Event>,
    /// Its tasks do nothing until then.
    pub(super) blocked_until: Time,
    pub(super) timer_at: Option<Time>,
    pub(super) tasks: Vec<Task>,
    /// Its provider is closed and has told the server everything.
    pub(super) has_ended: bool,
}

/// One connection that a process is to have.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// In a cluster, that of its server.
    pub(super) port: Option<u16>,
    /// The connection that is up.
    pub(super) connection: Option<usize>,
    /// The number of the attempt to connect, and when it began.
    pub(super) attempt: (u64, Time),
    pub(super) failures: usize,
    pub(super) up_since: Time,
    /// All replies to some batch came over the present connection.
    pub(super) worked: bool,
    pub(super) flush_at: Option<Time>,
    /// How many calls have waited for a connection since the last look at them.
    pub(super) looked_at: usize,
}

/// An event that came to a process that stands still, by what it comes from: each of these goes on by itself.
fn source(event: &Event) -> usize {
    match event {
        Event::Task { .. } => 0,
        Event::Timer { .. } => 1,
        Event::Notify { .. } => 2,
        _ => 3,
    }
}

impl World<'_> {
    /// A process begins, in this place.
    pub(super) fn begin_process(&mut self, process: usize, incarnation: usize, tasks: Vec<Task>) -> Option<Process> {
        let plan = self.plan.processes.get(process)?;
        let provider = RedisLockOptions::default()
            .key_prefix("p:")
            .connect_timeout(2 * self.plan.response_timeout)
            .response_timeout(self.plan.response_timeout);
        self.next_process += 1;
        let inbox = u64::try_from(self.next_process).unwrap_or(0);
        let cluster: Vec<u16> = (FIRST_PORT..).take(if self.plan.servers > 1 { 2 } else { 0 }).collect();
        let options = NodeOptions { inbox, seed: self.random.u64(..), publishing: plan.publishing, cluster, provider };
        let node = match Node::new(&options) {
            Ok(node) => node,
            Err(error) => {
                self.broken(Property::R, None, error.to_string());
                return None;
            }
        };
        let started = Process {
            incarnation,
            id: ProcessId(self.next_process),
            node,
            clock: Clock::new(self.now, plan.drift),
            links: BTreeMap::new(),
            map: MapTask::default(),
            stands_still: None,
            held: Vec::new(),
            blocked_until: 0,
            timer_at: None,
            tasks,
            has_ended: false,
        };
        Some(started)
    }

    /// A process that has been put in its place does its first steps.
    pub(super) fn start_process(&mut self, process: usize) {
        self.note(Some(process), None, || "begins".to_owned());
        if self.plan.servers > 1 {
            self.ask_map(process);
        } else if let Some(of) = self.processes.get_mut(process) {
            of.links.insert(Node::FIRST, Link::default());
            self.connect_at(process, Node::FIRST, self.now);
        }
        let tasks = self.processes.get(process).map_or(0, |process| process.tasks.len());
        for task in 0..tasks {
            self.task_at(process, task, self.now);
        }
    }

    /// Does something with a process's node, by its clock, and what follows.
    pub(super) fn with_node<T>(&mut self, process: usize, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let now = self.now;
        let of = self.processes.get_mut(process)?;
        of.node.set_clock(of.clock.now(now), of.clock.epoch);
        let result = act(&mut of.node);
        self.settle(process);
        Some(result)
    }

    /// What follows from anything that happened to a node.
    pub(super) fn settle(&mut self, process: usize) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        let (id, epoch, incarnation) = (of.id, of.clock.epoch, of.incarnation);
        let answered = of.node.take_answered();
        let broken = of.node.take_broken();
        let mut awake = Vec::new();
        let (mut changed, mut wrong) = (Vec::new(), Vec::new());
        for (number, task) in of.tasks.iter_mut().enumerate() {
            if task.waits_for(&answered, epoch) || task.has_result() {
                awake.push(number);
            }
            wrong.extend(task.wrong_end(of.clock.now(now)));
            if let Some((hold, until)) = task.new_end(&of.clock) {
                changed.push((hold, until));
            }
        }
        of.has_ended |= of.node.has_ended();
        let mut to_flush = Vec::new();
        for (link, at) in &mut of.links {
            let waiting = of.node.waiting(*link);
            if waiting > 0 && (at.connection.is_some() || waiting > at.looked_at) {
                to_flush.push(*link);
            }
            at.looked_at = at.looked_at.min(waiting);
        }
        let timer = of.node.deadline().filter(|_| !of.has_ended).map(|at| of.clock.time_of(at).max(now));
        for (number, granted) in answered {
            let caller = CallerId { process: id, number };
            self.see(Record::Answered { caller, granted });
        }
        for what in broken {
            self.broken(Property::R, None, format!("process {process}: {what}"));
        }
        for what in wrong {
            self.broken(Property::R, None, format!("process {process}: {what}"));
        }
        for (hold, until) in changed {
            self.see(Record::Until { hold, until });
        }
        for task in awake {
            let delay = self.wake_up();
            self.task_at(process, task, now + delay);
        }
        for link in to_flush {
            self.flush_soon(process, link);
        }
        if self.plan.servers > 1 {
            self.look_at_links(process);
            self.look_at_map(process);
        }
        if let Some(timer) = timer {
            // A timer is never early.
            let at = timer + self.random.u64(0..=MILLISECOND);
            let Some(of) = self.processes.get_mut(process) else { return };
            if of.timer_at.is_none_or(|present| present > at) {
                of.timer_at = Some(at);
                self.events.add(at, Event::Timer { process, incarnation });
            }
        }
    }

    /// The connections that there are to be, since the process knows of other servers.
    fn look_at_links(&mut self, process: usize) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        let mut wanted = of.node.links();
        wanted.retain(|(link, _)| *link != Node::FIRST);
        let mut gone = Vec::new();
        of.links.retain(|link, at| {
            let is_wanted = wanted.iter().any(|(wanted, _)| wanted == link);
            gone.extend(at.connection.filter(|_| !is_wanted));
            is_wanted
        });
        wanted.retain(|(link, _)| !of.links.contains_key(link));
        for connection in gone {
            self.give_up(connection);
        }
        for (link, port) in wanted {
            let Some(of) = self.processes.get_mut(process) else { return };
            of.links.insert(link, Link { port, ..Link::default() });
            self.connect_at(process, link, now);
        }
    }

    /// How long it takes until a task runs that was woken.
    pub(super) fn wake_up(&mut self) -> Time {
        if self.random.u32(0..50) == 0 { self.random.u64(0..=10 * MILLISECOND) } else { self.random.u64(0..=20) }
    }

    /// A task goes on at this time.
    pub(super) fn task_at(&mut self, process: usize, task: usize, at: Time) {
        let Some(of) = self.processes.get(process) else { return };
        let incarnation = of.incarnation;
        self.events.add(at.max(of.blocked_until), Event::Task { process, incarnation, task });
    }

    pub(super) fn timer(&mut self, process: usize) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        // Another one took its place.
        if of.timer_at.take_if(|at| *at == now).is_none() || of.has_ended {
            return;
        }
        self.with_node(process, Node::deadline_reached);
    }

    /// A process does nothing for a time.
    pub(super) fn stand_still(&mut self, process: usize, time: Time, suspended: bool) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        if of.stands_still.is_some() {
            return;
        }
        of.stands_still = Some((now, suspended));
        let (id, incarnation) = (of.id, of.incarnation);
        let holds: Vec<_> = of.tasks.iter().filter_map(Task::hold).collect();
        if suspended {
            for hold in holds {
                self.see(Record::Uncertain { hold });
            }
        }
        self.see(Record::StoodStill { process: id, time: time + 2 * MILLISECOND });
        self.events.add(now + time, Event::Resume { process, incarnation });
    }

    /// It goes on.
    pub(super) fn resume(&mut self, process: usize) {
        let now = self.now;
        // Replies, notifications, timers and tasks go on in any order.
        let delays: [Time; 4] = std::array::from_fn(|_| self.random.u64(0..=MILLISECOND));
        let Some(of) = self.processes.get_mut(process) else { return };
        let Some((since, suspended)) = of.stands_still.take() else { return };
        if suspended {
            of.clock.stood_still(since, now);
        }
        of.timer_at = None;
        for link in of.links.values_mut() {
            (link.flush_at, link.looked_at) = (None, 0);
        }
        let held = std::mem::take(&mut of.held);
        self.note(Some(process), None, || "goes on".to_owned());
        for event in held {
            let delay = delays.get(source(&event)).copied().unwrap_or(0);
            self.events.add(now + delay, event);
        }
        self.settle(process);
    }

    /// The resource of this number.
    pub(super) fn resource(&self, number: usize) -> Option<Resource> {
        self.resources.get(number).cloned()
    }

    /// The longest lease of a grant by notification: that of a name that stays taken for longer, or else with the time-outs of [`begin_process`](Self::begin_process).
    pub(super) fn longest_claim(&self) -> Time {
        let kept = self.plan.processes.iter().flat_map(|process| process.tasks.iter().flatten());
        let kept = kept.map(|operation| operation.options).filter(|of| of.configured_at_least() > of.configured_ttl());
        let kept = kept.map(|options| micros(options.configured_at_least())).max().unwrap_or(0);
        (5 * self.response_timeout()).max(3_000 * MILLISECOND).max(kept + MILLISECOND)
    }

    /// The time-out of replies.
    pub(super) fn response_timeout(&self) -> Time {
        micros(self.plan.response_timeout)
    }
}

/// In microseconds.
pub(super) fn micros(time: Duration) -> Time {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}
