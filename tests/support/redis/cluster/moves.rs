//! Slots that move from one master to another.

use redis::cmd;

use super::super::builder::{SUPPORT_PASSWORD, SUPPORT_USER};
use super::super::polls::block_until;
use super::super::server::LIMIT;
use super::RedisCluster;

impl RedisCluster {
    /// Moves a slot with all its keys.
    pub(crate) fn move_slot(&self, slot: u16, to: usize) {
        self.begin_move(slot, to);
        self.end_move(slot, to);
    }

    /// From now on the slot's master sends clients to the other one (`ASK`) for keys that it does not have. It has those
    /// that are there until [`move_keys`](Self::move_keys).
    pub(crate) fn begin_move(&self, slot: u16, to: usize) {
        let from = self.master_of_slot(slot);
        // In this order: the other one must be ready when the first client comes.
        self.set_slot(to, slot, "IMPORTING", from);
        self.set_slot(from, slot, "MIGRATING", to);
    }

    /// Moves the keys of a slot whose move has begun.
    pub(crate) fn move_keys(&self, slot: u16, to: usize) {
        const AT_ONCE: usize = 100;
        let from = &self.nodes[self.master_of_slot(slot)];
        loop {
            let keys: Vec<Vec<u8>> = from.ask(cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(AT_ONCE));
            if keys.is_empty() {
                return;
            }
            let mut migrate = cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.nodes[to].port()).arg("").arg(0).arg(LIMIT.as_millis().to_string());
            from.ask::<()>(migrate.arg("AUTH2").arg(SUPPORT_USER).arg(SUPPORT_PASSWORD).arg("KEYS").arg(keys));
        }
    }

    /// Moves what keys there still are, and gives the slot to the other one. Returns when all nodes that run know it.
    pub(crate) fn end_move(&self, slot: u16, to: usize) {
        self.move_keys(slot, to);
        let from = self.master_of_slot(slot);
        let others = self.running_nodes().map(|(index, _)| index).filter(|index| ![from, to].contains(index));
        let masters = others.filter(|index| self.nodes[*index].replication("role").as_deref() == Some("master"));
        // In this order: there is always a node that says it has the slot.
        for index in [to, from].into_iter().chain(masters) {
            self.set_slot(index, slot, "NODE", to);
        }
        block_until("all know who serves the slot", || {
            let named = self.named(slot);
            if named.iter().all(|index| *index == Some(to)) { Ok(()) } else { Err(format!("{named:?} are named")) }
        });
        // The node has taken the next epoch. Should a second one take the same, since it has not heard of it, they may never
        // agree on a slot that both have had.
        block_until("all know the epoch", || {
            let epochs = self.epochs();
            if epochs.iter().all(|epoch| *epoch == epochs[0]) { Ok(()) } else { Err(format!("{epochs:?}")) }
        });
    }

    fn set_slot(&self, index: usize, slot: u16, what: &str, other: usize) {
        self.nodes[index].ask::<()>(cmd("CLUSTER").arg("SETSLOT").arg(slot).arg(what).arg(&self.ids[other]));
    }
}
