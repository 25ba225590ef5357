//! Connections: how they are made, how they end, and what becomes of what they carry.

use orchestrix_locking::simulation::LinkId;

use super::cluster::Cluster;
use super::events::Event;
use super::process::{Link, micros};
use super::world::World;
use super::{MILLISECOND, SECOND, Time};
use crate::server::ClientId;

/// One connection, from both of its ends.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) process: usize,
    pub(super) link: LinkId,
    /// The other end.
    pub(super) server: usize,
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
    pub(super) fn connect_at(&mut self, process: usize, link: LinkId, at: Time) {
        let takes = self.delay() + self.delay();
        let timeout = self.response_timeout();
        let Some(of) = self.processes.get_mut(process) else { return };
        let incarnation = of.incarnation;
        let Some(of) = of.links.get_mut(&link) else { return };
        of.attempt = (of.attempt.0 + 1, at);
        let attempt = of.attempt.0;
        self.events.add(at + takes, Event::Connect { process, incarnation, link, attempt });
        self.events.add(at + timeout, Event::Overdue { process, incarnation, link, attempt });
    }

    /// An attempt ends, or goes on if the server is silent.
    pub(super) fn connect(&mut self, process: usize, link: LinkId, attempt: u64) {
        let now = self.now;
        let Some(of) = self.processes.get(process) else { return };
        let (incarnation, has_ended) = (of.incarnation, of.has_ended && of.node.waiting(link) == 0);
        let Some(Link { port, connection, attempt: present, .. }) = of.links.get(&link) else { return };
        if present.0 != attempt || connection.is_some() || has_ended {
            return;
        }
        let longest = present.1 + 2 * micros(self.plan.response_timeout);
        let at_port = |cluster: &Cluster| cluster.at_port((*port)?);
        let number = self.cluster.as_ref().map_or(Some(0), at_port);
        let server = number.and_then(|number| self.servers.get_mut(number));
        if let Some(server) = &server
            && server.is_paused()
            && now < longest
        {
            let at = server.resumes_at(now).min(longest);
            return self.events.add(at, Event::Connect { process, incarnation, link, attempt });
        }
        let (Some(server), Some(number)) = (server.filter(|server| !server.is_paused() && !server.is_down()), number)
        else {
            if let Some(of) = self.processes.get_mut(process).and_then(|of| of.links.get_mut(&link)) {
                of.failures += 1;
            }
            self.note(Some(process), None, || "cannot connect".to_owned());
            self.with_node(process, |node| node.is_out_of_reach(link, false));
            return self.connect_later(process, link);
        };
        let connection = Connection {
            process,
            link,
            server: number,
            is_open: true,
            to_server: now,
            to_process: now,
            requests_lost: false,
            replies_lost: false,
            not_before: 0,
            closed: None,
        };
        let id = self.connections.len();
        let Some(of) = self.processes.get_mut(process) else { return };
        let inbox = of.node.inbox();
        let Some(of) = of.links.get_mut(&link) else { return };
        (of.connection, of.up_since, of.worked) = (Some(id), now, false);
        let hears = self.plan.processes.get(process).is_some_and(|plan| plan.publishing);
        server.welcome(client(id), hears.then_some(&inbox), self.scripts);
        self.connections.push(connection);
        self.note(Some(process), None, || format!("is connected to server {number} (connection {id})"));
        self.with_node(process, |node| node.connected(link));
    }

    /// The next attempt, after those that failed.
    fn connect_later(&mut self, process: usize, link: LinkId) {
        let of = self.processes.get(process).and_then(|of| of.links.get(&link));
        let delay = match of.map_or(0, |of| of.failures) {
            0 => 0,
            failures => DELAYS.get(failures - 1).or(DELAYS.last()).copied().unwrap_or(0) * MILLISECOND,
        };
        let delay = delay.min(self.response_timeout() / 4);
        let delay = delay - self.random.u64(0..=delay / 10);
        self.connect_at(process, link, self.now + delay);
    }

    /// While there is no connection: the calls whose time is up fail.
    pub(super) fn overdue(&mut self, process: usize, link: LinkId, attempt: u64) {
        let timeout = self.response_timeout();
        let Some(of) = self.processes.get(process) else { return };
        let (incarnation, has_ended) = (of.incarnation, of.has_ended && of.node.waiting(link) == 0);
        let Some(of) = of.links.get(&link) else { return };
        if of.connection.is_some() || of.attempt.0 != attempt || has_ended {
            return;
        }
        let first = of.failures == 0 && self.now >= of.attempt.1 + timeout;
        self.with_node(
            process,
            |node| {
                if first { node.is_out_of_reach(link, true) } else { node.fail_waiting_calls(link) }
            },
        );
        self.events.add(self.now + timeout / 8, Event::Overdue { process, incarnation, link, attempt });
    }

    /// What waits to be sent is sent in a moment: at once, or once the supervisor's task runs.
    pub(super) fn flush_soon(&mut self, process: usize, link: LinkId) {
        let now = self.now;
        let busy = self.processes.get(process).is_some_and(|of| of.node.is_busy(link));
        let delay = if busy && self.random.bool() { self.random.u64(0..=2 * MILLISECOND) } else { 0 };
        let Some(of) = self.processes.get_mut(process) else { return };
        let incarnation = of.incarnation;
        let Some(of) = of.links.get_mut(&link) else { return };
        if of.flush_at.is_none_or(|at| at > now + delay) {
            of.flush_at = Some(now + delay);
            self.events.add(now + delay, Event::Flush { process, incarnation, link });
        }
    }

    /// A process sends what waits to be sent.
    pub(super) fn flush(&mut self, process: usize, link: LinkId) {
        let now = self.now;
        let Some(process_of) = self.processes.get_mut(process) else { return };
        let waiting = process_of.node.waiting(link);
        let Some(of) = process_of.links.get_mut(&link) else { return };
        if of.flush_at.take_if(|at| *at == now).is_none() || waiting == 0 {
            return;
        }
        let Some(number) = of.connection else {
            of.looked_at = waiting;
            if of.failures > 0 {
                self.with_node(process, |node| node.fail_waiting_calls(link));
            }
            return;
        };
        let clock = process_of.clock;
        let until = clock.time_of(clock.now(now) + self.plan.response_timeout);
        let commands = self.with_node(process, |node| node.send(link)).unwrap_or_default();
        if let Some(last) = commands.last().map(|command| command.number) {
            let late = self.random.u64(0..=MILLISECOND);
            self.events.add(until + late, Event::Silent { process, connection: number, number: last });
        }
        for command in commands {
            let delay = self.delay();
            let Some(connection) = self.connections.get_mut(number) else { return };
            let at = (now + delay).max(connection.to_server).max(connection.not_before);
            connection.to_server = at;
            self.note_command(process, &command);
            self.events.add(at, Event::Arrive { process, connection: number, command: Box::new(command) });
        }
    }

    /// A batch has had no reply in time.
    pub(super) fn silent(&mut self, process: usize, connection: usize, number: u64) {
        let Some(link) = self.link_of(process, connection) else { return };
        let Some(of) = self.processes.get(process) else { return };
        let Some((at, oldest)) = of.node.overdue_at(link) else { return };
        if oldest > number {
            return;
        }
        if of.clock.now(self.now) < at {
            // Its clock has stood still since, or an older one is looked at by itself.
            let at = of.clock.time_of(at) + 1;
            return self.events.add(at, Event::Silent { process, connection, number });
        }
        self.lose_connection(process, link, true);
    }

    /// The connection of a process that has this number, if it uses it still.
    pub(super) fn link_of(&self, process: usize, connection: usize) -> Option<LinkId> {
        let link = self.connections.get(connection)?.link;
        let of = self.processes.get(process)?.links.get(&link)?;
        (of.connection == Some(connection)).then_some(link)
    }

    /// A process gives its connection up.
    pub(super) fn lose_connection(&mut self, process: usize, link: LinkId, silent: bool) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process).and_then(|of| of.links.get_mut(&link)) else { return };
        let Some(number) = of.connection.take() else { return };
        let at_once = !of.worked && now < of.up_since + SECOND;
        of.failures = if at_once { of.failures + 1 } else { 0 };
        self.note(Some(process), None, || {
            format!("gives connection {number} up: {}", if silent { "no reply" } else { "closed" })
        });
        self.give_up(number);
        self.with_node(process, |node| node.disconnected(link, silent));
        self.connect_later(process, link);
    }

    /// A process closes a connection. The server notices that a little later, or much later.
    pub(super) fn give_up(&mut self, number: usize) {
        let noticed = if self.random.bool() { self.delay() } else { self.random.u64(0..=3 * SECOND) };
        self.close(number, usize::MAX, 0, noticed);
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
