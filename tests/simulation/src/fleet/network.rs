//! Connections: how they are made, how they end, and what becomes of what they carry.

use orchestrix_locking::simulation::Node;

use super::events::Event;
use super::process::micros;
use super::world::World;
use super::{MILLISECOND, SECOND, Time};
use crate::server::ClientId;

/// One connection, from both of its ends.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) process: usize,
    /// The process uses it.
    pub(super) is_open: bool,
    /// The last arrival at either end: what is sent later arrives later.
    to_server: Time,
    to_process: Time,
    /// What it sends is lost.
    pub(super) requests_lost: bool,
    /// What it is told is lost.
    pub(super) replies_lost: bool,
    /// What it has sent does not run before this time.
    pub(super) not_before: Time,
    /// It was closed then: so many more commands arrive.
    pub(super) closed: Option<(Time, usize)>,
}

/// How long the next attempt is put off.
const DELAYS: [Time; 6] = [10, 25, 50, 100, 250, 500];

impl World<'_> {
    /// How long a message is on its way.
    pub(super) fn delay(&mut self) -> Time {
        let network = self.plan.network;
        let (often, by) = network.slow;
        let usual = self.random.u64(network.shortest..=network.longest);
        if self.random.u64(0..1_000) < often { usual + self.random.u64(0..=by) } else { usual }
    }

    /// A process tries to connect at this time.
    pub(super) fn connect_at(&mut self, process: usize, at: Time) {
        let takes = self.delay() + self.delay();
        let timeout = self.response_timeout();
        let Some(of) = self.processes.get_mut(process) else { return };
        of.attempt = (of.attempt.0 + 1, at);
        let (attempt, incarnation) = (of.attempt.0, of.incarnation);
        self.events.add(at + takes, Event::Connect { process, incarnation, attempt });
        self.events.add(at + timeout, Event::Overdue { process, incarnation, attempt });
    }

    /// An attempt ends, or goes on if the server is silent.
    pub(super) fn connect(&mut self, process: usize, attempt: u64) {
        let now = self.now;
        let Some(of) = self.processes.get(process) else { return };
        if of.attempt.0 != attempt || of.connection.is_some() || of.has_ended && of.node.waiting() == 0 {
            return;
        }
        let incarnation = of.incarnation;
        let longest = of.attempt.1 + 2 * micros(self.plan.response_timeout);
        if self.server.is_paused() && now < longest {
            let at = self.server.resumes_at(now).min(longest);
            return self.events.add(at, Event::Connect { process, incarnation, attempt });
        }
        if self.server.is_paused() || self.server.is_down() {
            let Some(of) = self.processes.get_mut(process) else { return };
            of.failures += 1;
            self.note(Some(process), None, || "cannot connect".to_owned());
            self.with_node(process, |node| {
                node.is_out_of_reach(false);
                node.fail_waiting_calls();
            });
            return self.connect_later(process);
        }
        let number = self.connections.len();
        let connection = Connection {
            process,
            is_open: true,
            to_server: now,
            to_process: now,
            requests_lost: false,
            replies_lost: false,
            not_before: 0,
            closed: None,
        };
        self.connections.push(connection);
        let Some(of) = self.processes.get_mut(process) else { return };
        of.connection = Some(number);
        (of.up_since, of.worked) = (now, false);
        let inbox = of.node.inbox();
        let hears = self.plan.processes.get(process).is_some_and(|plan| plan.publishing);
        self.server.welcome(client(number), hears.then_some(&inbox), self.scripts);
        self.note(Some(process), None, || format!("is connected (connection {number})"));
        self.with_node(process, Node::connected);
    }

    /// The next attempt, after those that failed.
    fn connect_later(&mut self, process: usize) {
        let failures = self.processes.get(process).map_or(0, |of| of.failures);
        let delay = match failures {
            0 => 0,
            _ => DELAYS.get(failures - 1).or(DELAYS.last()).copied().unwrap_or(0) * MILLISECOND,
        };
        let delay = delay.min(self.response_timeout() / 4);
        let delay = delay - self.random.u64(0..=delay / 10);
        self.connect_at(process, self.now + delay);
    }

    /// While there is no connection: the calls whose time is up fail.
    pub(super) fn overdue(&mut self, process: usize, attempt: u64) {
        let timeout = self.response_timeout();
        let Some(of) = self.processes.get(process) else { return };
        let has_ended = of.has_ended && of.node.waiting() == 0;
        if of.connection.is_some() || of.attempt.0 != attempt || has_ended {
            return;
        }
        let (incarnation, first) = (of.incarnation, of.failures == 0 && self.now >= of.attempt.1 + timeout);
        self.with_node(process, |node| {
            if first {
                node.is_out_of_reach(false);
            }
            node.fail_waiting_calls();
        });
        self.events.add(self.now + timeout / 8, Event::Overdue { process, incarnation, attempt });
    }

    /// What waits to be sent is sent in a moment: at once, or once the supervisor's task runs.
    pub(super) fn flush_soon(&mut self, process: usize) {
        let now = self.now;
        let busy = self.processes.get(process).is_some_and(|of| of.node.oldest_in_flight().is_some());
        let delay = if busy && self.random.bool() { self.random.u64(0..=2 * MILLISECOND) } else { 0 };
        let Some(of) = self.processes.get_mut(process) else { return };
        if of.flush_at.is_none_or(|at| at > now + delay) {
            of.flush_at = Some(now + delay);
            let incarnation = of.incarnation;
            self.events.add(now + delay, Event::Flush { process, incarnation });
        }
    }

    /// A process sends what waits to be sent.
    pub(super) fn flush(&mut self, process: usize) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        if of.flush_at.take_if(|at| *at == now).is_none() || of.node.waiting() == 0 {
            return;
        }
        let Some(number) = of.connection else {
            of.looked_at = of.node.waiting();
            if of.failures > 0 {
                self.with_node(process, Node::fail_waiting_calls);
            }
            return;
        };
        let until = of.clock.time_of(of.clock.now(now) + self.plan.response_timeout);
        let commands = self.with_node(process, Node::send).unwrap_or_default();
        if let Some(of) = self.processes.get_mut(process) {
            of.last_of_batches.extend(commands.last().map(|command| command.number));
        }
        for command in commands {
            let delay = self.delay();
            let Some(connection) = self.connections.get_mut(number) else { return };
            let at = (now + delay).max(connection.to_server).max(connection.not_before);
            connection.to_server = at;
            self.note_command(process, &command);
            let late = self.random.u64(0..=MILLISECOND);
            self.events.add(until + late, Event::Silent { process, connection: number, number: command.number });
            self.events.add(at, Event::Arrive { process, connection: number, command: Box::new(command) });
        }
    }

    /// A command has had no reply in time.
    pub(super) fn silent(&mut self, process: usize, connection: usize, number: u64) {
        let Some(of) = self.processes.get(process) else { return };
        if of.connection != Some(connection) || of.node.oldest_in_flight().is_none_or(|oldest| oldest > number) {
            return;
        }
        if of.clock.now(self.now) < of.node.overdue_since(number) {
            // Its clock has stood still since.
            let at = of.clock.time_of(of.node.overdue_since(number)) + 1;
            return self.events.add(at, Event::Silent { process, connection, number });
        }
        self.lose_connection(process, true);
    }

    /// A process gives its connection up.
    pub(super) fn lose_connection(&mut self, process: usize, silent: bool) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        let Some(number) = of.connection.take() else { return };
        of.last_of_batches.clear();
        let at_once = !of.worked && now < of.up_since + SECOND;
        of.failures = if at_once { of.failures + 1 } else { 0 };
        self.note(Some(process), None, || {
            format!("gives connection {number} up: {}", if silent { "no reply" } else { "closed" })
        });
        let noticed = if self.random.bool() { self.delay() } else { self.random.u64(0..=3 * SECOND) };
        self.close(number, usize::MAX, 0, noticed);
        self.with_node(process, |node| node.disconnected(silent));
        self.connect_later(process);
    }

    /// A connection is closed: so many more of its commands arrive, and no sooner than after `late`. The server notices
    /// after a time.
    pub(super) fn close(&mut self, number: usize, arriving: usize, late: Time, noticed: Time) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.is_open = false;
        if connection.closed.is_none() {
            connection.closed = Some((now, arriving));
            connection.not_before = connection.not_before.max(now + late);
        }
        self.events.add(now + noticed, Event::Noticed { connection: number });
    }

    /// The server tells a process something over a connection. Returns when that arrives, unless it is lost.
    pub(super) fn way_back(&mut self, number: usize, in_order: bool) -> Option<Time> {
        let delay = self.delay();
        let now = self.now;
        let connection = self.connections.get_mut(number)?;
        if connection.replies_lost || connection.closed.is_some() {
            return None;
        }
        if !in_order {
            return Some(now + delay);
        }
        connection.to_process = connection.to_process.max(now + delay);
        Some(connection.to_process)
    }
}

/// As the server knows a connection.
pub(super) fn client(connection: usize) -> ClientId {
    ClientId(u64::try_from(connection).unwrap_or(u64::MAX))
}
