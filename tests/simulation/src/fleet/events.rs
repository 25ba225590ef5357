//! [`Events`]: what is to happen, in the order of its time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use orchestrix_locking::simulation::{Command, LinkId};

use super::Time;
use super::map::Map;

/// What happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    /// A task of a process goes on.
    Task { process: usize, incarnation: usize, task: usize },
    /// A deadline of a process has come.
    Timer { process: usize, incarnation: usize },
    /// A process sends what waits to be sent.
    Flush { process: usize, incarnation: usize, link: LinkId },
    /// An attempt of a process to connect ends.
    Connect { process: usize, incarnation: usize, link: LinkId, attempt: u64 },
    /// A process looks at the calls that wait for a connection.
    Overdue { process: usize, incarnation: usize, link: LinkId, attempt: u64 },
    /// What the nodes of the cluster say of the slots comes to a process, or none has replied.
    Mapped { process: usize, incarnation: usize, map: Option<Map> },
    /// A process may ask the nodes of the cluster again.
    MapAgain { process: usize, incarnation: usize },
    /// A command comes to the server.
    Arrive { process: usize, connection: usize, command: Box<Command> },
    /// A reply comes to a process.
    Reply { process: usize, connection: usize, number: u64, reply: Vec<u8> },
    /// A notification comes to a process.
    Notify { process: usize, connection: usize, text: String },
    /// A batch has had no reply for too long, of which this is the last command.
    Silent { process: usize, connection: usize, number: u64 },
    /// A process learns that its connection is closed.
    Closed { process: usize, connection: usize },
    /// The server learns that a connection is gone.
    Noticed { connection: usize },
    /// A replica has what the server has, for the fault in which it takes the server's place.
    Snapshot(usize),
    /// A fault begins.
    Fault(usize),
    /// A process goes on.
    Resume { process: usize, incarnation: usize },
    /// A server goes on, or is there again.
    ServerResumes(usize),
    /// A server's memory is not full any more, or it takes writes again.
    ServerTakesWrites(usize),
    /// A slot is being moved.
    MoveStep,
    /// A server of a cluster hears what the others know.
    Hears { server: usize },
    /// Everything that is on the server is looked at.
    Inspect,
}

impl Event {
    /// Which process it happens to.
    pub(super) fn process(&self) -> Option<usize> {
        match self {
            Self::Task { process, .. }
            | Self::Timer { process, .. }
            | Self::Flush { process, .. }
            | Self::Connect { process, .. }
            | Self::Overdue { process, .. }
            | Self::Mapped { process, .. }
            | Self::MapAgain { process, .. }
            | Self::Reply { process, .. }
            | Self::Notify { process, .. }
            | Self::Silent { process, .. }
            | Self::Closed { process, .. } => Some(*process),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<Entry>>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    at: Time,
    /// Of two at one time the one that was added first comes first.
    number: u64,
    event: Event,
}

impl Events {
    pub(super) fn add(&mut self, at: Time, event: Event) {
        self.next += 1;
        self.heap.push(Reverse(Entry { at, number: self.next, event }));
    }

    pub(super) fn next(&mut self) -> Option<(Time, Event)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
