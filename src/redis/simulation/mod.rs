//! One process without its threads, sockets and clock, for `tests/simulation`: the engine, a table of its locks, the calls
//! that it queues, and its timers.
//!
//! A [`Node`] does what `redis::driver` and `redis::connection` do around the engine, in the same order. All else is the
//! real thing: the engine, the queue of calls, the commands' encoding, the replies' decoding, the states of the leases.
//! What is told to it (replies, notifications, the time) is told by a model of the network.

mod calls;
mod connection;
mod host;
mod node;

pub use calls::{Action, Command};
pub use host::{Answer, Caller, Guard};
pub use node::{Extending, Node, NodeCounts, NodeOptions, Releasing};
