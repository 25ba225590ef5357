//! What nodes say.

use redis::cmd;

use super::super::RedisServer;
use super::super::looks::field_of;
use super::{RedisCluster, SLOTS};

/// What one node says of one: a line of `CLUSTER NODES`.
#[derive(Debug)]
struct View {
    id: String,
    myself: bool,
    /// Without `myself`: `master`, `slave`, and what is wrong with it.
    flags: String,
    connected: bool,
    /// The first and the last slot of each range.
    slots: Vec<(u16, u16)>,
}

impl View {
    /// `id address flags master ping pong epoch link slot slot …`
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        let [id, _, flags, _, _, _, _, link, slots @ ..] = &fields[..] else { return None };
        let range = |slots: &&str| {
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            // Those that are being moved are listed once more, in brackets.
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        Some(Self {
            id: (*id).to_owned(),
            myself: flags.contains("myself"),
            flags: flags.replace("myself,", ""),
            connected: *link == "connected",
            slots: slots.iter().filter_map(range).collect(),
        })
    }

    fn has(&self, slot: u16) -> bool {
        self.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

impl RedisCluster {
    pub(super) fn running_nodes(&self) -> impl Iterator<Item = (usize, &RedisServer)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.is_running())
    }

    /// Who serves the slot, as each node that runs has it.
    pub(super) fn named(&self, slot: u16) -> Vec<Option<usize>> {
        self.running_nodes()
            .map(|(_, node)| {
                let master = views(node).into_iter().find(|view| view.has(slot))?;
                self.ids.iter().position(|id| *id == master.id)
            })
            .collect()
    }

    /// The latest epoch that each node which runs knows.
    pub(super) fn epochs(&self) -> Vec<Option<String>> {
        let epoch = |node: &RedisServer| {
            let info: String = node.ask(cmd("CLUSTER").arg("INFO"));
            field_of(&info, "cluster_current_epoch")
        };
        self.running_nodes().map(|(_, node)| epoch(node)).collect()
    }

    /// Whether a node serves the slot, as it says itself.
    pub(super) fn serves(&self, index: usize, slot: u16) -> bool {
        let node = &self.nodes[index];
        node.is_running() && state(node) == "ok" && views(node).iter().any(|view| view.myself && view.has(slot))
    }

    pub(super) fn is_complete(&self) -> Result<(), String> {
        let RedisCluster { settings, nodes, .. } = self;
        for (index, node) in nodes.iter().enumerate() {
            if !node.is_running() {
                return Err(format!("node {index} does not run: {}", node.log()));
            }
            let views = views(node);
            let count = |flags: &str| views.iter().filter(|view| view.flags == flags && view.connected).count();
            let served: u16 = views.iter().flat_map(|view| &view.slots).map(|(first, last)| last - first + 1).sum();
            let in_touch = (views.len(), count("master"), count("slave"))
                == (nodes.len(), settings.masters, nodes.len() - settings.masters);
            let is_master = views.iter().any(|view| view.myself && view.flags == "master");
            let in_sync = is_master || node.replication("master_link_status").as_deref() == Some("up");
            let state = state(node);
            if !(in_touch && in_sync && served == SLOTS && state == "ok") {
                return Err(format!("node {index} is {state}, in sync: {in_sync}, and sees {views:?}: {}", node.log()));
            }
        }
        Ok(())
    }

    /// What the nodes wrote since their starts.
    pub(super) fn logs(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::log).collect()
    }
}

/// Empty while it does not answer.
fn views(node: &RedisServer) -> Vec<View> {
    let lines: String = node.try_to_ask(cmd("CLUSTER").arg("NODES")).unwrap_or_default();
    lines.lines().filter_map(View::parse).collect()
}

pub(super) fn state(node: &RedisServer) -> String {
    let info: String = node.try_to_ask(cmd("CLUSTER").arg("INFO")).unwrap_or_default();
    field_of(&info, "cluster_state").unwrap_or_default()
}
