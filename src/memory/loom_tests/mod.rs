//! The table, its mutex and the futures that wait at it, in every interleaving of a few threads on one name.
//!
//! `tests/run.sh` says how they are built and run, and counts their executions.
//!
//! # What is modelled
//!
//! The code is the provider's own, from [`Shard`](super::shard::Shard) down; loom stands in for the mutex and the
//! atomics, and a clock of the models' own for tokio's. `still` has the models in which leases are renewed by their
//! guards and no time passes: they are explored completely, but for three that state a bound. In `in_time` a clock that
//! some thread moves on ends leases and waits and wakes timers (M3 and M6): its models are explored with a bound on how
//! often threads are interrupted, which each states, and which `ORCHESTRIX_LOOM_DEEPER` raises.
//!
//! A waiter that nobody wakes, though it should be, is a deadlock, which loom reports.
//!
//! # What is not
//!
//! Several names in one shard, and the sweep of leaked guards (they share nothing but the mutex); tokio's timers, which
//! are taken to be up in time; and the wakers' own synchronisation.
#![allow(clippy::unwrap_used, clippy::panic)]

mod in_time;
mod scene;
mod still;
