//! [`Cluster`]: which server serves which slots, what each of them knows of that, and how a slot is moved.

use std::collections::BTreeMap;

use orchestrix_locking::simulation::Command;

use super::events::Event;
use super::world::World;
use super::{MILLISECOND, Time};

/// The port of the first server. Each that takes another's place has the next.
pub(super) const FIRST_PORT: u16 = 7_000;

/// How long it takes at most until a server hears of what another one knows.
const GOSSIP: Time = 300 * MILLISECOND;

/// How long it takes at most until a server that was not there serves its slots again.
const NOT_SERVING: Time = 100 * MILLISECOND;

/// The servers as a cluster.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    /// The slot of each resource.
    slots: Vec<u16>,
    /// As it is.
    truth: View,
    /// As each server knows it.
    views: Vec<View>,
    moving: Option<Move>,
    /// How many moves have begun and ended.
    pub(super) moves: usize,
    next_port: u16,
}

/// Which server serves which slots.
#[derive(Debug, Clone, Default)]
struct View {
    epoch: u64,
    owners: BTreeMap<u16, usize>,
    ports: Vec<u16>,
    /// The slot that this server is moving to another one.
    migrating: Option<(u16, usize)>,
    serves_from: Time,
}

/// A slot that is being moved.
#[derive(Debug, Clone, Copy)]
struct Move {
    slot: u16,
    from: usize,
    to: usize,
    /// How long a step takes at most.
    step: Time,
}

impl Cluster {
    /// These resources' slots are served by so many servers.
    pub(super) fn new(slots: Vec<u16>, servers: usize, mut owner: impl FnMut() -> usize) -> Self {
        let owners = slots.iter().map(|slot| (*slot, owner())).collect();
        let ports: Vec<u16> = (FIRST_PORT..).take(servers).collect();
        let next_port = ports.last().map_or(FIRST_PORT, |last| last + 1);
        let truth = View { epoch: 1, owners, ports, migrating: None, serves_from: 0 };
        Self { slots, views: vec![truth.clone(); servers], truth, moving: None, moves: 0, next_port }
    }

    /// The server at this port.
    pub(super) fn at_port(&self, port: u16) -> Option<usize> {
        self.truth.ports.iter().position(|of| *of == port)
    }

    /// What a server says of the slots: an epoch, and the port of each slot's server.
    pub(super) fn map(&self, server: usize) -> Option<(u64, Vec<(u16, u16)>)> {
        let view = self.views.get(server)?;
        let port = |(slot, owner): (&u16, &usize)| Some((*slot, *view.ports.get(*owner)?));
        Some((view.epoch, view.owners.iter().filter_map(port).collect()))
    }

    /// A server hears what the others know. What it is moving itself it knows better.
    pub(super) fn hears(&mut self, server: usize) {
        let moving = self.moving.filter(|moving| moving.from == server);
        if let Some(view) = self.views.get_mut(server) {
            let migrating = moving.map(|moving| (moving.slot, moving.to));
            *view = View { migrating, serves_from: view.serves_from, ..self.truth.clone() };
        }
    }

    /// Whether a server is concerned by a move.
    pub(super) fn moves_at(&self, server: usize) -> bool {
        self.moving.is_some_and(|moving| moving.from == server || moving.to == server)
    }

    /// Another process takes a server's place, at another port.
    pub(super) fn replaced(&mut self, server: usize) {
        if let Some(port) = self.truth.ports.get_mut(server) {
            *port = self.next_port;
        }
        self.next_port += 1;
        self.truth.epoch += 1;
    }

    fn slot(&self, resource: usize) -> Option<u16> {
        self.slots.get(resource).copied()
    }
}

impl World<'_> {
    /// Why a server does not run a command, as a node of a cluster looks at it before it begins.
    pub(super) fn redirection(&self, server: usize, command: &Command) -> Option<String> {
        let cluster = self.cluster.as_ref()?;
        let view = cluster.views.get(server)?;
        let resources = command.locks().map(|(lock, _)| self.number_of(lock));
        let mut slots = resources.filter_map(|resource| cluster.slot(resource));
        let slot = slots.next()?;
        let is_here = |key: &Vec<u8>| {
            self.keys.iter().enumerate().any(|(resource, keys)| {
                cluster.slot(resource) == Some(slot) && keys.iter().any(|of| of.as_bytes() == key.as_slice())
            })
        };
        if !command.keys.iter().all(is_here) {
            return Some("CROSSSLOT Keys in request don't hash to the same slot".to_owned());
        }
        if self.now < view.serves_from {
            return Some("CLUSTERDOWN The cluster is down".to_owned());
        }
        let at = |owner: usize| format!("{slot} simulated:{}", view.ports.get(owner).copied().unwrap_or_default());
        let owner = view.owners.get(&slot).copied()?;
        if owner != server {
            return Some(format!("MOVED {}", at(owner)));
        }
        let (_, to) = view.migrating.filter(|(moving, _)| *moving == slot)?;
        let there = |key: &&Vec<u8>| self.servers.get(server).is_some_and(|of| of.server.entry(key).is_some());
        match command.keys.iter().filter(there).count() {
            0 => Some(format!("ASK {}", at(to))),
            count if count < command.keys.len() => {
                Some("TRYAGAIN Multiple keys request during rehashing of slot".to_owned())
            }
            _ => None,
        }
    }

    /// The slot of a resource begins to move to another server. `false` if it cannot.
    pub(super) fn move_slot(&mut self, resource: usize, to: usize, time: Time) -> bool {
        let servers = self.servers.len();
        let up = |server: &super::server_side::ServerSide| !server.is_down() && !server.is_paused();
        let Some(cluster) = &mut self.cluster else { return false };
        let Some(slot) = cluster.slot(resource) else { return false };
        let Some(from) = cluster.truth.owners.get(&slot).copied() else { return false };
        let to = (from + 1 + to % (servers - 1)) % servers;
        let both_up = [from, to].into_iter().all(|server| self.servers.get(server).is_some_and(up));
        let Some(view) = cluster.views.get_mut(from).filter(|view| view.migrating.is_none()) else {
            return false;
        };
        if !both_up || cluster.moving.is_some() {
            return false;
        }
        view.migrating = Some((slot, to));
        cluster.moving = Some(Move { slot, from, to, step: time / 4 });
        cluster.moves += 1;
        let keys = self.keys_of_slot(slot);
        if let Some(from) = self.servers.get_mut(from) {
            from.server.set_moving(keys);
        }
        self.note(None, None, || format!("slot {slot} begins to move from server {from} to {to}"));
        self.next_step();
        true
    }

    fn keys_of_slot(&self, slot: u16) -> Vec<Vec<u8>> {
        let of = self.keys.iter().enumerate();
        let of = of.filter(|(resource, _)| self.cluster.as_ref().and_then(|of| of.slot(*resource)) == Some(slot));
        of.flat_map(|(_, keys)| keys.iter().map(|key| key.clone().into_bytes())).collect()
    }

    fn next_step(&mut self) {
        let Some(moving) = self.cluster.as_ref().and_then(|cluster| cluster.moving) else { return };
        let mut at = self.now + self.random.u64(0..=moving.step);
        for server in [moving.from, moving.to] {
            if let Some(of) = self.servers.get(server) {
                at = at.max(of.resumes_at(self.now));
            }
        }
        self.events.add(at, Event::MoveStep);
    }

    /// One key of the slot that is being moved goes over to the other server; or, once there is none, the slot does.
    pub(super) fn move_step(&mut self) {
        let Some(Move { slot, from, to, .. }) = self.cluster.as_ref().and_then(|cluster| cluster.moving) else {
            return;
        };
        let up = |server: usize| self.servers.get(server).is_some_and(|of| !of.is_down() && !of.is_paused());
        if !up(from) || !up(to) {
            return self.next_step();
        }
        let mut keys = self.keys_of_slot(slot);
        self.random.shuffle(&mut keys);
        let now = self.now;
        let Some(of) = self.servers.get_mut(from) else { return };
        of.set_clock(now);
        let found = keys.into_iter().find_map(|key| Some((of.server.take(&key)?, key)));
        if let Some((entry, key)) = found {
            self.note(None, None, || format!("the key {} moves to server {to}", String::from_utf8_lossy(&key)));
            if let Some(of) = self.servers.get_mut(to) {
                of.server.restore_key(&key, entry);
            }
            return self.next_step();
        }
        let Some(cluster) = &mut self.cluster else { return };
        cluster.moving = None;
        cluster.moves += 1;
        cluster.truth.epoch += 1;
        cluster.truth.owners.insert(slot, to);
        cluster.hears(to);
        self.note(None, None, || format!("slot {slot} is server {to}'s"));
        self.gossip();
    }

    /// Each server hears of what is so now, after a while.
    pub(super) fn gossip(&mut self) {
        for server in 0..self.servers.len() {
            let delay = if self.random.bool() { self.random.u64(0..=MILLISECOND) } else { self.random.u64(0..=GOSSIP) };
            self.events.add(self.now + delay, Event::Hears { server });
        }
    }

    /// A server hears of it.
    pub(super) fn hears(&mut self, server: usize) {
        let Some(of) = self.servers.get_mut(server) else { return };
        if of.is_down() || of.is_paused() {
            let at = of.resumes_at(self.now).max(self.now + 1);
            return self.events.add(at, Event::Hears { server });
        }
        let Some(cluster) = &mut self.cluster else { return };
        cluster.hears(server);
        if cluster.moving.is_none_or(|moving| moving.from != server) {
            of.server.set_moving(Vec::new());
        }
    }

    /// A server of a cluster is there again.
    pub(super) fn serves_again(&mut self, server: usize) {
        let from = self.now + self.random.u64(0..=NOT_SERVING);
        if let Some(view) = self.cluster.as_mut().and_then(|cluster| cluster.views.get_mut(server)) {
            view.serves_from = from;
            self.gossip();
        }
    }
}
