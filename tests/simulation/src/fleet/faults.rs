//! How faults begin, and end.

use orchestrix_locking::simulation::Node;

use super::cluster::Cluster;
use super::events::Event;
use super::server_side::ServerSide;
use super::task::{State, Task};
use super::world::World;
use super::{Fault, FaultKind, MILLISECOND, Time};
use crate::history::Record;
use crate::server::Role;

impl World<'_> {
    /// A fault of the plan begins.
    pub(super) fn fault(&mut self, number: usize) {
        let Some(fault) = self.plan.faults.get(number).copied() else { return };
        let Fault { kind, server, .. } = fault;
        let now = self.now;
        let process = match kind {
            FaultKind::Cut { process, .. }
            | FaultKind::Silence { process, .. }
            | FaultKind::Crash { process, .. }
            | FaultKind::Pause { process, .. }
            | FaultKind::Block { process, .. }
            | FaultKind::Suspend { process, .. }
            | FaultKind::Close { process } => Some(process),
            _ => None,
        };
        if process.is_some_and(|process| process >= self.processes.len()) {
            return;
        }
        if let Some(count) = self.counts.faults.get_mut(kind.number()) {
            *count += 1;
        }
        self.note(process, None, || format!("FAULT {fault}"));
        match kind {
            FaultKind::Cut { process, arriving, late, noticed } => self.cut(process, arriving, late, noticed),
            FaultKind::Silence { process, requests, replies, late } => self.silence(process, requests, replies, late),
            FaultKind::Crash { process, noticed, late } => self.crash(process, noticed, late),
            FaultKind::Pause { process, time } => self.stand_still(process, time, false),
            FaultKind::Suspend { process, time } => self.stand_still(process, time, true),
            FaultKind::Block { process, time } => {
                if let Some(of) = self.processes.get_mut(process) {
                    of.blocked_until = of.blocked_until.max(self.now + time);
                    let id = of.id;
                    self.see(Record::StoodStill { process: id, time: time + MILLISECOND });
                }
            }
            FaultKind::Close { process } => _ = self.with_node(process, Node::close),
            FaultKind::ServerPause { time } => {
                if self.with_server(server, |of| of.pause(now + time)) == Some(true) {
                    self.events.add(now + time, Event::ServerResumes(server));
                }
            }
            FaultKind::Restart { time, keeps_data } => {
                if self.with_server(server, |of| of.go_down(now + time)) == Some(true) {
                    if keeps_data {
                        self.with_server(server, |of| of.server.restart_with_data());
                    } else {
                        self.with_server(server, |of| of.server.restart_without_data());
                        self.forgets_locks(0);
                    }
                    self.server_ends(server, time);
                }
            }
            FaultKind::Failover { time, .. } => self.fail_over(number, server, time),
            FaultKind::ScriptFlush => _ = self.with_server(server, |of| of.server.flush_scripts()),
            FaultKind::MemoryFull { time } => {
                self.with_server(server, |of| of.server.set_memory_full(true));
                self.takes_no_writes_for(server, time);
            }
            FaultKind::ReadOnly { time } => {
                self.with_server(server, |of| of.server.set_role(Role::Replica));
                self.takes_no_writes_for(server, time);
            }
            FaultKind::SlotMove { resource, time } => {
                if !self.move_slot(resource, server, time)
                    && let Some(count) = self.counts.faults.get_mut(kind.number())
                {
                    *count -= 1;
                }
            }
            FaultKind::ClockStep { by } => {
                for of in &mut self.servers {
                    of.offset += by;
                    of.set_back += by.min(0).unsigned_abs();
                }
                if by < 0 {
                    // What had ended, and had not been looked at since, is there again.
                    self.excuse_what_is_there();
                } else {
                    // A grant of which a notification tells is counted from a word that may be a second older.
                    self.forgets_locks(1_100 * MILLISECOND);
                }
            }
        }
    }

    /// A replica has this of the server, which takes its place later.
    pub(super) fn snapshot(&mut self, fault: usize) {
        let Some(Fault { server, .. }) = self.plan.faults.get(fault) else { return };
        let moves = self.cluster.as_ref().map_or(0, |cluster| cluster.moves);
        if let Some(of) = self.servers.get_mut(*server) {
            of.snapshots.insert(fault, (of.server.snapshot(), moves));
        }
    }

    /// It takes the server's place. In a cluster not where a slot has begun to move or has moved since: the model does not know
    /// what a server does with keys of slots that are not its own.
    fn fail_over(&mut self, fault: usize, server: usize, time: Time) {
        let now = self.now;
        let snapshot = self.with_server(server, |of| of.snapshots.remove(&fault)).flatten();
        let Some((snapshot, moves)) = snapshot else { return };
        let concerned = |cluster: &Cluster| cluster.moves != moves || cluster.moves_at(server);
        if self.cluster.as_ref().is_some_and(concerned)
            || self.with_server(server, |of| of.go_down(now + time)) != Some(true)
        {
            return;
        }
        self.with_server(server, |of| of.server.restore(snapshot));
        if let Some(cluster) = &mut self.cluster {
            cluster.replaced(server);
            cluster.hears(server);
        }
        self.excuse_what_is_there();
        self.forgets_locks(0);
        self.server_ends(server, time);
    }

    fn with_server<T>(&mut self, server: usize, act: impl FnOnce(&mut ServerSide) -> T) -> Option<T> {
        self.servers.get_mut(server).map(act)
    }

    /// The server has forgotten locks, or ends them early: those that it has granted until now, or grants soon.
    fn forgets_locks(&mut self, and_for: Time) {
        self.broken_at = Some(self.now + and_for);
        let holds: Vec<_> = self.processes.iter().flat_map(|of| &of.tasks).filter_map(Task::hold).collect();
        for hold in holds {
            self.see(Record::Uncertain { hold });
        }
        self.see(Record::ForgotKept);
    }

    fn takes_no_writes_for(&mut self, server: usize, time: Time) {
        let until = self.now + time;
        self.with_server(server, |of| of.takes_no_writes_until = of.takes_no_writes_until.max(until));
        self.events.add(until, Event::ServerTakesWrites(server));
    }

    pub(super) fn server_takes_writes(&mut self, server: usize) {
        let now = self.now;
        self.with_server(server, |of| {
            if of.takes_no_writes_until <= now {
                of.server.set_memory_full(false);
                of.server.set_role(Role::Master);
            }
        });
    }

    /// All connections of the server end with it.
    fn server_ends(&mut self, server: usize, time: Time) {
        for connection in 0..self.connections.len() {
            let Some(of) = self.connections.get(connection) else { return };
            if of.server != server {
                continue;
            }
            let (process, is_open) = (of.process, of.is_open);
            // What has not arrived never will.
            self.close(connection, 0, 0, 0);
            if let Some(of) = self.connections.get_mut(connection) {
                of.closed = Some((self.now, 0));
            }
            if is_open {
                let delay = self.delay();
                self.events.add(self.now + delay, Event::Closed { process, connection });
            }
        }
        self.events.add(self.now + time, Event::ServerResumes(server));
    }

    /// One of the connections of a process that are up.
    fn some_connection(&mut self, process: usize) -> Option<usize> {
        let of = self.processes.get(process)?;
        let up: Vec<_> = of.links.values().filter_map(|link| link.connection).collect();
        if up.len() > 1 { up.get(self.random.usize(0..up.len())).copied() } else { up.first().copied() }
    }

    fn cut(&mut self, process: usize, arriving: usize, late: Time, noticed: Time) {
        let Some(connection) = self.some_connection(process) else { return };
        self.close(connection, arriving, late, noticed);
        let delay = self.random.u64(0..=MILLISECOND);
        self.events.add(self.now + delay, Event::Closed { process, connection });
    }

    fn silence(&mut self, process: usize, requests: bool, replies: bool, late: Time) {
        let Some(number) = self.some_connection(process) else { return };
        let Some(connection) = self.connections.get_mut(number) else { return };
        connection.requests_lost |= requests;
        connection.replies_lost |= replies;
        connection.not_before = connection.not_before.max(self.now + late);
    }

    /// A process ends. Another one goes on with what its tasks have still to do.
    fn crash(&mut self, process: usize, noticed: Time, late: Time) {
        let Some(of) = self.processes.get_mut(process) else { return };
        let incarnation = of.incarnation + 1;
        let mut tasks = std::mem::take(&mut of.tasks);
        let connections: Vec<_> = of.links.values_mut().filter_map(|link| link.connection.take()).collect();
        for task in &mut tasks {
            for operation in task.open_operations() {
                self.see(Record::Finished { operation });
            }
            if let Some(hold) = task.hold() {
                self.see(Record::Ended { hold, released: false });
            }
            task.state = State::Between(None);
        }
        for connection in connections {
            self.close(connection, usize::MAX, late, noticed);
        }
        let Some(started) = self.begin_process(process, incarnation, tasks) else { return };
        if let Some(of) = self.processes.get_mut(process) {
            *of = started;
        }
        self.start_process(process);
    }
}
