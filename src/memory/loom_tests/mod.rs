//! The table, its mutex and the futures that wait at it, in every interleaving of a few threads on one name.
//!
//! `tests/run.sh` says how they are built and run, and counts their executions.
//!
//! # What is modelled
//!
//! The code is the provider's own, from [`Shard`](crate::backend::in_process::Shard) down. loom replaces the mutex and
//! the atomics, and a model clock replaces tokio's. `still` has the models in which leases are renewed by their guards
//! and no time passes: they are explored completely, except three that state a bound. In `in_time` a thread advances
//! the clock, so that leases and waits end and timers wake (M3 and M6). Each of its models states a bound on how often
//! threads are preempted, which `ORCHESTRIX_LOOM_DEEPER` raises. `modes` has readers, permits and least times.
//!
//! A waiter that is not woken though it has to be is a deadlock, which loom reports.
//!
//! # What is not modelled
//!
//! Several names in one shard, and the sweep of leaked guards, since they share only the mutex; tokio's timers, which
//! are assumed to be up in time; and the synchronisation inside wakers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod in_time;
mod modes;
mod scene;
mod still;
