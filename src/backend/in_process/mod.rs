//! The locks of one process: who holds them, and who waits.
//!
//! What a provider in this process is built on. It has no timers and no futures: `shard` is the part of the locks that one
//! mutex guards; `table` says what is true of them (the invariants are numbered there), and `hash` how a name is found;
//! `entry` is one name of it, `holder` has its lock, `wait_queue` and `waiter` are the callers behind it, `fences` are the
//! tokens, `queue_position` is where a caller waits. `lease` is a lease that its guard alone knows, `shared_lease` any
//! other, and `state` what both leave to [`LeaseState`](super::LeaseState). `deferred` is what is left to do once the mutex
//! is free.

mod deferred;
mod entry;
mod fences;
mod hash;
mod holder;
mod lease;
mod queue_position;
mod shard;
mod shared_lease;
mod state;
mod table;
mod wait_queue;
mod waiter;

pub(crate) use deferred::{DepartedWaiter, ReleasedHolder};
pub(crate) use entry::Entry;
pub(crate) use hash::NameHash;
pub(crate) use holder::Holder;
pub(crate) use lease::{InProcessLease, NotGranted};
pub(crate) use queue_position::QueuePosition;
pub(crate) use shard::Shard;
pub(crate) use shared_lease::{SharedLease, has_end, lasts_untaken, term};
pub(crate) use table::{Arrival, Table};
pub(crate) use wait_queue::Ticket;
pub(crate) use waiter::Waiter;
