//! Locks within one process.
//!
//! `provider` is the face, `shard` the part of the locks that one mutex guards, `attempt` the ways to one of them, `table`
//! what is true of them (the invariants are numbered there), `hash` how it finds a name, `entry` one of them, `queue` who
//! waits for it, `holder` who has it, `sole` a lease that its guard alone knows, `lease` one that others know, `place` where
//! a caller waits and what it finds there, `wait` the future that does so, `after` what is left to do once the mutex is
//! free.
//!
//! A lock passes through them in this order: the provider picks the shard of the name; the shard looks into
//! its table and grants a lease at once, or puts one into a queue and returns the future that waits for it.
//! There is no background task and no timer that nobody waits on: an expired lease is noticed by whoever is
//! next to have the lock, and a lease that is renewed while its guard lives needs no renewing.

mod acquire;
mod acquire_future;
mod deferred;
mod entry;
mod hash;
mod holder;
mod inline_lease;
mod lease;
#[cfg(all(test, orchestrix_loom))]
mod loom_tests;
mod provider;
mod queue_position;
mod shard;
mod table;
mod wait_queue;

pub(crate) use inline_lease::InlineLease;
pub use provider::{InMemoryLockProvider, LockInfo};
