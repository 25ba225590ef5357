//! The connections of a process: one, or in a cluster one for each node.

use std::time::Duration;

use super::calls::Command;
use super::link::{HOST, LinkId};
use super::node::Node;
use super::process::Process;
use crate::backend::PackedInstant;
use crate::redis::connection::{Node as Number, SimulatedLink};
use crate::redis::connection_string::Server;
use crate::redis::discovery::cluster::SlotMap;

impl Node {
    /// The one connection, or in a cluster what keeps the map of the slots.
    pub const FIRST: LinkId = LinkId(0);

    /// The connections that there are to be, and the port of each one's server. In a cluster the first has none.
    pub fn links(&self) -> Vec<(LinkId, Option<u16>)> {
        let of = |link: &SimulatedLink<Process>| {
            let port = match link.connection().node() {
                Some(Server::Tcp { port, .. }) => Some(port),
                _ => None,
            };
            (LinkId(link.connection().number.0), port)
        };
        self.links.iter().map(of).collect()
    }

    /// After anything by which a process may have got to know of other nodes.
    fn know_nodes(&mut self) {
        if !self.process.router.is_cluster() {
            return;
        }
        for connection in self.process.router.servers() {
            let is_known = self.links.iter().any(|link| link.connection().number == connection.number);
            if !is_known {
                self.links.extend(SimulatedLink::new(&connection, &self.process));
            }
        }
        // A connection whose node serves no slot any more ends once all of its calls have their replies.
        self.links.retain(|link| !link.has_nothing_left());
    }

    fn link(&mut self, id: LinkId) -> Option<&mut SimulatedLink<Process>> {
        self.process.enter();
        self.links.iter_mut().find(|link| link.connection().number == Number(id.0))
    }

    /// Sends everything that waits to be sent over a connection that is up.
    pub fn send(&mut self, id: LinkId) -> Vec<Command> {
        let (publishing, mut number) = (self.process.publishing(), self.next_number);
        let commands = self.link(id).map(|link| link.send(publishing, &mut number)).unwrap_or_default();
        self.next_number = number;
        let commands: Vec<_> = commands.into_iter().filter_map(Command::read).collect();
        self.process.inner().sent(id, &commands);
        commands
    }

    /// How many calls wait to be sent over it.
    pub fn waiting(&self, id: LinkId) -> usize {
        let link = self.links.iter().find(|link| link.connection().number == Number(id.0));
        link.map_or(0, SimulatedLink::waiting)
    }

    /// Whether anything was sent over it that has no reply.
    pub fn is_busy(&self, id: LinkId) -> bool {
        let link = self.links.iter().find(|link| link.connection().number == Number(id.0));
        link.is_some_and(|link| link.overdue_at().is_some())
    }

    /// When a command without a reply has none in time, and the number of the last command of its batch: of the oldest batch.
    pub fn overdue_at(&self, id: LinkId) -> Option<(Duration, u64)> {
        let link = self.links.iter().find(|link| link.connection().number == Number(id.0))?;
        let (at, number) = link.overdue_at()?;
        Some((at.saturating_duration_since(PackedInstant::origin()), number))
    }

    /// The reply to a command, in the bytes of the protocol. Once all commands that were sent with it have theirs, they are
    /// delivered. Then it returns whether that is so, and whether the connection is to be used further.
    pub fn replied(&mut self, id: LinkId, command: u64, reply: &[u8]) -> Option<bool> {
        let reply = ::redis::parse_redis_value(reply).unwrap_or(::redis::Value::Nil);
        let result = self.link(id)?.replied(command, reply)?;
        self.know_nodes();
        let usable = result.is_ok();
        if let Err(said) = result {
            self.said = Some(said);
        }
        Some(usable)
    }

    /// The connection was closed; or it is given up, since the server is silent or has said that it is not to be used.
    pub fn disconnected(&mut self, id: LinkId, silent: bool) {
        let said = self.said.take();
        if let Some(link) = self.link(id) {
            link.broke(silent, said);
        }
        self.know_nodes();
    }

    /// An attempt to connect failed. `silent`: it has had no outcome for as long as a call waits for a reply.
    pub fn is_out_of_reach(&mut self, id: LinkId, silent: bool) {
        if let Some(link) = self.link(id) {
            link.is_out_of_reach(silent);
            link.fail_waiting_calls();
        }
        self.know_nodes();
    }

    /// There is a connection, over which this process is notified.
    pub fn connected(&mut self, id: LinkId) {
        let publishing = self.process.publishing();
        if let Some(link) = self.link(id) {
            link.connected(publishing);
        }
    }

    /// Fails the calls that do not wait for a connection any longer. To be called while there is none.
    pub fn fail_waiting_calls(&mut self, id: LinkId) {
        if let Some(link) = self.link(id) {
            link.fail_waiting_calls();
        }
    }

    /// A notification came over a connection.
    pub fn notified(&mut self, id: LinkId, message: &str) {
        use crate::redis::connection::Caller as _;
        self.process.enter();
        self.process.notified(Number(id.0), message);
    }

    /// Whether the nodes of the cluster are to be asked which of them serves which slots. `true` once for each reason.
    pub fn wants_map(&mut self) -> bool {
        self.link(Self::FIRST).is_some_and(|link| link.is_woken())
    }

    /// Which node serves which slot, by its port, as a node says it that knows of this epoch. Returns whether every node can be
    /// reached.
    pub fn mapped(&mut self, epoch: u64, slots: &[(u16, u16)]) -> bool {
        let server = |port| Server::Tcp { host: HOST.to_owned(), port, tls: false };
        let ranges = slots.iter().map(|(slot, port)| (*slot, *slot, server(*port))).collect();
        let map = SlotMap { epoch, ranges, replicas: Vec::new() };
        let is_complete = self.link(Self::FIRST).is_some_and(|link| link.mapped(map));
        self.know_nodes();
        is_complete
    }
}
