//! [`Routes`]: the nodes of a cluster, and the one of each slot.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::redis::connection::{Caller, Connection, Node};
use crate::redis::connection_string::Server;
use crate::redis::discovery::cluster::SlotMap;
use crate::redis::slot::SLOTS;
use crate::sync;

/// How long maps of an earlier epoch are not believed in.
const LONGEST_EARLIER: Duration = Duration::from_secs(5);

/// What follows from a map.
pub(super) struct Changes<C: Caller> {
    /// The connections to nodes that serve no slot any more.
    pub(super) retired: Vec<Arc<Connection<C>>>,
    /// Those that had been retired before, and have ended. To be dropped outside of every mutex.
    pub(super) ended: Vec<Arc<Connection<C>>>,
    /// The nodes that had connections before and have got slots of the retired ones.
    pub(super) heirs: Vec<Node>,
}

/// Which connection is that of which slot.
pub(super) struct Routes<C: Caller> {
    /// Of each slot, where its node is in `nodes`, plus one; 0 if no node serves it.
    slots: Vec<u16>,
    nodes: Vec<(Server, Arc<Connection<C>>)>,
    /// Connections to nodes that serve no slot any more, until they have ended: calls are in flight over them, or come back.
    retired: Vec<Arc<Connection<C>>>,
    epoch: u64,
    /// Since when maps have had an earlier epoch.
    earlier_since: Option<Instant>,
    /// The numbers that were given to connections.
    numbers: u32,
}

impl<C: Caller> Routes<C> {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![0; SLOTS.into()],
            nodes: Vec::new(),
            retired: Vec::new(),
            epoch: 0,
            earlier_since: None,
            numbers: 0,
        }
    }

    /// The connection of a slot, if a node serves it.
    pub(super) fn of(&self, slot: u16) -> Option<&Arc<Connection<C>>> {
        let at = self.slots.get(usize::from(slot))?.checked_sub(1)?;
        self.nodes.get(usize::from(at)).map(|(_, connection)| connection)
    }

    /// A slot that no node serves, if there is one.
    pub(super) fn unserved_slot(&self) -> Option<u16> {
        self.slots.iter().position(|at| *at == 0).and_then(|slot| u16::try_from(slot).ok())
    }

    /// The connections to the nodes that serve slots.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Connection<C>>> {
        self.nodes.iter().map(|(_, connection)| connection)
    }

    /// The same, and the retired ones that a task drives or has to drive.
    pub(super) fn nodes_and_retired(&self) -> impl Iterator<Item = &Arc<Connection<C>>> {
        self.nodes().chain(self.retired.iter().filter(|connection| is_needed(connection)))
    }

    /// Takes over a map, unless it is older than the present one.
    pub(super) fn update(&mut self, map: SlotMap, first: &Connection<C>) -> Changes<C> {
        let mut changes = Changes { retired: Vec::new(), ended: Vec::new(), heirs: Vec::new() };
        // A node that does not say its epoch is taken at its word.
        if map.epoch != 0 && map.epoch < self.epoch {
            // For long, it is that of a cluster that was made anew.
            let now = sync::now();
            let since = *self.earlier_since.get_or_insert(now);
            if now.saturating_duration_since(since) < LONGEST_EARLIER {
                return changes;
            }
        }
        self.earlier_since = None;
        if map.epoch != 0 {
            self.epoch = map.epoch;
        }
        let before = std::mem::take(&mut self.nodes);
        let slots_before = std::mem::replace(&mut self.slots, vec![0; SLOTS.into()]);
        let mut kept = Vec::new();
        for (from, to, server) in map.ranges {
            let at = self.position(from, &server, first, &before);
            kept.push(server);
            for slot in self.slots.iter_mut().take(usize::from(to) + 1).skip(usize::from(from)) {
                *slot = at;
            }
        }
        let is_kept = |(server, _): &(Server, Arc<Connection<C>>)| kept.contains(server);
        for (slot, at) in (0..).zip(slots_before) {
            let owner = usize::from(at).checked_sub(1).and_then(|at| before.get(at));
            if owner.is_some_and(|owner| !is_kept(owner))
                && let Some(heir) = self.of(slot)
                && before.iter().any(|(_, known)| known.number == heir.number)
                && !changes.heirs.contains(&heir.number)
            {
                changes.heirs.push(heir.number);
            }
        }
        // What deposes a task, or is driven by one, has the connection too: calls may still come back into its queue.
        let has_ended = |connection: &mut Arc<_>| Arc::strong_count(connection) == 1 && !is_needed(connection);
        changes.ended = self.retired.extract_if(.., has_ended).collect();
        let retired = before.iter().filter(|node| !is_kept(node)).map(|(_, connection)| Arc::clone(connection));
        changes.retired = retired.collect();
        self.retired.extend(changes.retired.iter().cloned());
        changes
    }

    /// One slot is served by this node.
    pub(super) fn moved(&mut self, slot: u16, server: &Server, first: &Connection<C>) {
        let at = self.position(slot, server, first, &[]);
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            *slot = at;
        }
    }

    /// The position of the node that serves this slot, plus one. A node without a connection gets that of `before`, or a new one.
    fn position(
        &mut self,
        slot: u16,
        server: &Server,
        first: &Connection<C>,
        before: &[(Server, Arc<Connection<C>>)],
    ) -> u16 {
        let known = self.nodes.iter().position(|(known, _)| known == server);
        let at = known.unwrap_or_else(|| {
            let present = before.iter().find(|(known, _)| known == server);
            let connection = present.map_or_else(|| self.connection(server, first), |(_, present)| Arc::clone(present));
            self.nodes.push((server.clone(), connection));
            self.nodes.len() - 1
        });
        if let Some((_, connection)) = self.nodes.get(at) {
            connection.set_slot(slot);
        }
        // A cluster has at most 16 384 nodes, one for each slot.
        u16::try_from(at + 1).unwrap_or(0)
    }

    fn connection(&mut self, server: &Server, first: &Connection<C>) -> Arc<Connection<C>> {
        self.numbers += 1;
        Arc::new(first.of_node(Node(self.numbers), first.settings().of_node(server.clone())))
    }
}

/// Whether a task drives a retired connection, or has to.
fn is_needed<C: Caller>(connection: &Connection<C>) -> bool {
    connection.task().is_taken() || !connection.is_queue_empty()
}
