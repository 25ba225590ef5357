//! A deterministic simulation of the lock protocol, in one thread and under a virtual clock.
//!
//! [`server`] is a model of one Redis server that runs the project's own Lua scripts; [`scripts`] are those scripts. What
//! is run with them is the [`fleet`]: engines, their network, and what goes wrong. Its [`history`] is checked.
//!
//! Everything here depends on what it is called with alone: there is no clock of the machine, no thread, no random
//! number that has no seed, and no order of a hash table.

pub mod fleet;
pub mod history;
pub mod scripts;
pub mod server;
