//! [`MapTask`]: the task of a process that keeps the map of the slots, as `redis::connection::cluster_supervisor` does.

use orchestrix_locking::simulation::Node;

use super::events::Event;
use super::process::micros;
use super::world::World;
use super::{MILLISECOND, SECOND, Time};

/// How long the map is not asked for again, after it was asked for once, twice, … in a row.
const DELAYS: [Time; 5] = [5 * MILLISECOND, 20 * MILLISECOND, 50 * MILLISECOND, 100 * MILLISECOND, 200 * MILLISECOND];

/// After this time without a need for it the delays begin anew.
const CALM: Time = 5 * SECOND;

/// After so many times in a row it is asked for once a second.
const MANY: usize = 30;

/// A map of the slots as a node of the cluster has it: its epoch, and the port of each slot's server.
pub(super) type Map = (u64, Vec<(u16, u16)>);

/// What the task is about.
#[derive(Debug, Default)]
pub(super) struct MapTask {
    /// It asks, or waits until it may ask again.
    busy: bool,
    asked: Time,
    in_a_row: usize,
    /// Every slot is served, and every server within reach.
    is_complete: bool,
    wanted: bool,
}

impl World<'_> {
    /// A process asks for the map of the slots.
    pub(super) fn ask_map(&mut self, process: usize) {
        // Some nodes reply in time, and the latest of what they say counts.
        let all = self.random.bool();
        let mut map: Option<Map> = None;
        for server in 0..self.servers.len() {
            let replies = all || self.random.bool();
            let is_up = self.servers.get(server).is_some_and(|of| !of.is_down() && !of.is_paused());
            let said = self.cluster.as_ref().filter(|_| replies && is_up).and_then(|cluster| cluster.map(server));
            if let Some(said) = said
                && map.as_ref().is_none_or(|map| map.0 < said.0)
            {
                map = Some(said);
            }
        }
        let takes = self.delay() + self.delay();
        // Half of the connect time-out.
        let longest = micros(self.plan.response_timeout);
        let map = map.filter(|_| takes < longest);
        let takes = if map.is_some() { takes } else { longest };
        let Some(of) = self.processes.get_mut(process) else { return };
        (of.map.busy, of.map.asked, of.map.wanted) = (true, self.now, false);
        let incarnation = of.incarnation;
        self.events.add(self.now + takes, Event::Mapped { process, incarnation, map });
    }

    /// It has the map, or no node has replied.
    pub(super) fn mapped(&mut self, process: usize, map: Option<Map>) {
        self.note(Some(process), None, || format!("hears of the slots: {map:?}"));
        let is_complete = self.with_node(process, |node| {
            if let Some((epoch, slots)) = map {
                return node.mapped(epoch, &slots);
            }
            node.is_out_of_reach(Node::FIRST, false);
            false
        });
        let Some(of) = self.processes.get_mut(process) else { return };
        of.map.is_complete = is_complete.unwrap_or(false);
        let longest = if of.map.in_a_row < MANY { DELAYS.last().copied() } else { Some(SECOND) };
        let delay = DELAYS.get(of.map.in_a_row).copied().or(longest).unwrap_or_default();
        let (at, incarnation) = (of.map.asked + delay, of.incarnation);
        let at = at.saturating_sub(self.random.u64(0..=delay / 10)).max(self.now);
        self.events.add(at, Event::MapAgain { process, incarnation });
    }

    /// It may ask again.
    pub(super) fn map_again(&mut self, process: usize) {
        let Some(of) = self.processes.get_mut(process) else { return };
        of.map.busy = false;
        if of.has_ended && of.node.waiting(Node::FIRST) == 0 {
            return;
        }
        of.map.wanted |= !of.map.is_complete;
        self.look_at_map(process);
    }

    /// After anything that happened to a node of a cluster: whether the map is to be asked for.
    pub(super) fn look_at_map(&mut self, process: usize) {
        let now = self.now;
        let Some(of) = self.processes.get_mut(process) else { return };
        of.map.wanted |= of.node.wants_map();
        if of.map.busy || !of.map.wanted {
            return;
        }
        of.map.in_a_row = if now < of.map.asked + CALM { of.map.in_a_row + 1 } else { 0 };
        self.ask_map(process);
    }
}
