//! A whole fleet in one thread: processes with their tasks, the network, one server or a cluster, and what goes wrong with them.
//!
//! [`Plan::new`] makes of a seed what the tasks do and which faults there are. [`run`] runs it: a loop takes the next event,
//! sets the clock to its time and lets it happen. What is seen becomes records, which a
//! [`Checker`](crate::history::Checker) looks at.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `plan` | operations and faults, as the seed decides them |
//! | `world` | the loop |
//! | `events` | what is to happen, in the order of its time |
//! | `clock` | a process's clock: its drift, its standing still |
//! | `process` | a process: its node, its tasks, its standing still |
//! | `task` | what a caller does with a lock |
//! | `network` | connections: delays, losses, what runs late |
//! | `server_side` | the server: calls, its standing still, its end |
//! | `cluster` | several servers, and slots that are moved from one to another |
//! | `map` | how a process learns which server serves which slots |
//! | `faults` | how a fault begins |
//! | `rest` | what is left, while the run goes on and at its end |
//! | `trace` | what happened, in words |

mod clock;
mod cluster;
mod events;
mod faults;
mod map;
mod network;
mod plan;
mod process;
mod rest;
mod server_side;
mod task;
mod trace;
mod world;

pub use plan::{Fault, FaultKind, KINDS, MILLISECOND, Network, Operation, Plan, ProcessPlan, SECOND, Time, Wait};
pub use trace::{Line, Trace};
pub use world::{Counts, Outcome, run};
