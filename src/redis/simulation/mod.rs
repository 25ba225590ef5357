//! One process without its threads, sockets and clock, for `tests/simulation`: the engine, a table of its locks, the calls
//! that it queues, and its timers.
//!
//! A [`Node`] does what `redis::driver` does around the engine, in the same order, and what the tasks of `redis::connection`
//! do. All else is the real thing: the engine, the router and its map of slots, the queues of calls, batches and what becomes
//! of each of their calls, the condition of a connection, the commands' encoding, the replies' decoding, the states of the
//! leases. What is told to it (replies, notifications, the map of the slots, the time) is told by a model of the network.

mod calls;
mod connection;
mod host;
mod link;
mod node;
mod process;

pub use calls::{Action, Command};
pub use host::{Answer, Caller, Guard};
pub use link::LinkId;
pub use node::{Extending, Node, NodeCounts, NodeOptions, Releasing};
