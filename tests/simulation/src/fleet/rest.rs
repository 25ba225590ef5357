//! What is left on the server and in the processes: while a run goes on, and at its end.

use orchestrix_locking::simulation::NodeCounts;

use super::events::Event;
use super::process::micros;
use super::server_side::{FENCE, short};
use super::world::World;
use super::{MILLISECOND, SECOND, Time};
use crate::history::{Key, Property};
use crate::server::Value;

/// How often everything on the server is looked at.
const EVERY: Time = 500 * MILLISECOND;

/// The keys of the wait queue last so long without a call.
const QUEUE_LASTS: Time = 61 * SECOND;

/// The owner tokens of those that hold a lock or wait for it.
fn tokens(key: &Key) -> impl Iterator<Item = &Vec<u8>> {
    key.holders.iter().map(|holder| &holder.token).chain(key.queue.iter().map(|entry| &entry.token))
}

impl World<'_> {
    /// Whether each lock and each entry on the server is one that its process will see to (R4). That of a process that has
    /// ended is not looked at.
    pub(super) fn inspect(&mut self) {
        let mut unknown = Vec::new();
        for (resource, key) in self.keys_on_servers() {
            for token in tokens(&key) {
                let inbox = [b"p:inbox:", token.get(..16).unwrap_or_default()].concat();
                let mut of = self.processes.iter().filter(|of| !of.has_ended);
                let known = of.find(|of| of.node.inbox().as_bytes() == inbox).is_none_or(|of| of.node.knows(token));
                if !known && !self.excused.contains(token) {
                    unknown.push((resource, short(token)));
                }
            }
        }
        for (resource, token) in unknown {
            let what = format!("the server has something of the owner token {token}, which its process has forgotten");
            self.broken(Property::P5, Some(resource), what);
        }
        let forgotten: usize = self.processes.iter().map(|of| of.node.forgotten_leases()).sum();
        if forgotten > 0 {
            self.broken(Property::P5, None, format!("{forgotten} locks are held by leases that no caller has"));
        }
        if self.events.len() > 0 {
            self.events.add(self.now + EVERY, Event::Inspect);
        }
    }

    /// Every lock, as each server has it.
    fn keys_on_servers(&mut self) -> Vec<(usize, Key)> {
        let mut keys = Vec::new();
        for of in &mut self.servers {
            of.set_clock(self.now);
            for (resource, names) in self.keys.iter().enumerate() {
                keys.push((resource, of.key(names)));
            }
        }
        keys
    }

    /// What was released is there again, since the server has lost that: it ends with its lease.
    pub(super) fn excuse_what_is_there(&mut self) {
        for (_, key) in self.keys_on_servers() {
            self.excused.extend(tokens(&key).cloned());
        }
    }

    /// The run is over: nothing happens any more.
    pub(super) fn look_at_the_rest(&mut self) {
        let unfinished: Vec<_> = self.checker.unfinished().collect();
        let tasks = self.processes.iter().flat_map(|of| &of.tasks).filter(|task| !task.is_done()).count();
        if tasks > 0 || !unfinished.is_empty() {
            let what = format!("{tasks} tasks wait for ever, in the operations {unfinished:?}");
            return self.broken(Property::P7, None, what);
        }
        let lease = micros(self.plan.longest_lease());
        // Their cancellations go on for a lease and a time-out, and pause for ten seconds at most.
        let set_back = self.servers.iter().map(|of| of.set_back).max().unwrap_or(0);
        let longest = self.done_at + set_back + lease + 4 * self.response_timeout() + 15 * SECOND;
        if self.now > longest {
            let late = (self.now - longest) / MILLISECOND;
            self.broken(Property::P5, None, format!("the processes came to rest {late} ms too late"));
        }
        let nothing = NodeCounts { locks: 0, waiters: 0, cancellations: 0, timers: 0, calls: 0 };
        let left: Vec<_> = self
            .processes
            .iter()
            .enumerate()
            .map(|(process, of)| (process, of.has_ended, of.node.counts()))
            .map(|(process, has_ended, mut counts)| {
                if has_ended {
                    // What is over by itself, perhaps.
                    (counts.cancellations, counts.timers) = (0, 0);
                }
                (process, counts)
            })
            .filter(|(_, counts)| *counts != nothing)
            .collect();
        for (process, counts) in left {
            self.broken(Property::P5, None, format!("process {process} has left {counts:?}"));
        }
        let free_at = self.done_at + set_back + lease + self.response_timeout() + SECOND;
        self.look_at_server(free_at, false);
        self.look_at_server(free_at + QUEUE_LASTS, true);
    }

    fn look_at_server(&mut self, at: Time, all: bool) {
        // What runs late may run after that.
        let at = at.max(self.last_run + micros(self.plan.longest_lease()) + SECOND + if all { QUEUE_LASTS } else { 0 });
        let is_counter = |key: &[u8]| key == FENCE || self.keys.iter().any(|[.., counter]| counter.as_bytes() == key);
        let mut left = Vec::new();
        for of in &mut self.servers {
            of.set_clock(at);
            let entries = of.server.entries();
            let entries =
                entries.filter(|(key, entry)| !is_counter(key) && (all || matches!(entry.value, Value::Text(_))));
            left.extend(entries.map(|(key, _)| String::from_utf8_lossy(key).into_owned()));
        }
        for key in left {
            self.broken(Property::P5, None, format!("the server has left the key {key}"));
        }
    }
}
