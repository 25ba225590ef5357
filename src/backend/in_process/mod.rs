//! The locks of one process: their holders and their waiters.
//!
//! The memory provider is built on this module, which has no timers and no futures:
//!
//! - `shard`: the locks that one mutex guards.
//! - `table`: the transitions of these locks, and the numbered invariants. `hash`: how a resource is found in it.
//! - `entry`: one lock in the table. `holder`: the lease of one holder. `holders`: who holds a lock, one or `several`.
//!   `wait_queue`, `waiter`: the callers that wait for it. `fences`: the fencing tokens.
//! - `queue_position`: the position of one waiting caller, by which the table finds it.
//! - `lease`: a lease that only its guard refers to. `shared_lease`: any other lease. `state`: what both use of
//!   [`LeaseState`](super::LeaseState).
//! - `deferred`: what is left to do once the mutex is free.

mod deferred;
mod entry;
mod fences;
mod hash;
mod holder;
mod holders;
mod lease;
mod queue_position;
mod several;
mod shard;
mod shared_lease;
mod state;
mod table;
mod wait_queue;
mod waiter;

pub(crate) use entry::Entry;
pub(crate) use hash::NameHash;
pub(crate) use holder::Holder;
pub(crate) use holders::Grant;
pub(crate) use lease::{InProcessLease, NotGranted};
pub(crate) use queue_position::QueuePosition;
pub(crate) use shard::Shard;
pub(crate) use shared_lease::{SharedLease, has_end, is_plain, unclaimed_lease};
pub(crate) use table::{AcquireOutcome, Table};
pub(crate) use wait_queue::Ticket;
pub(crate) use waiter::Waiter;
