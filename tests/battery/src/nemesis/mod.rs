//! Plans faults from a seed, and carries them out beside the workers.
//!
//! - [`Plan`]: rounds of faults, from a seed alone, by [`Kind`];
//! - [`World`]: the servers of a run and the ways to them; two of them with a single server for the locks, since lost data
//!   and a moved clock are kept apart;
//! - [`Topology`]: whether the locks are on one server, on a Sentinel set or on a cluster;
//! - [`round`]: one round: its workers, its faults, the rest after them, and what is left then;
//! - [`Fleet`]: the worker processes.
//!
//! A run leaves no process behind, however it ends: a worker ends with its standard input, a server with its
//! supervisor, and a shell beside each stopped worker lets it go on when its own input ends.

mod clock;
mod failovers;
mod fleet;
mod kind;
mod lanes;
mod plan;
mod process;
mod random;
mod record;
mod rest;
mod round;
mod server_faults;
mod topology;
mod way_faults;
mod world;

#[cfg(test)]
pub(crate) use kind::KINDS;
pub(crate) use kind::Kind;
pub(crate) use plan::{CALM, Plan, ROUND, Round};
pub(crate) use round::{Conditions, Ended, run};
pub(crate) use topology::Topology;
pub(crate) use world::World;
