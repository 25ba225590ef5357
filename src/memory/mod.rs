//! The provider of locks within one process. The locks themselves are in [`in_process`](crate::backend::in_process).
//!
//! - `provider`: the public type. `lock_info`: what it reports about a lock.
//! - `backend`: grants a lock, or returns the future that waits for it. `attempt`: one try for a lock.
//! - `waiting_caller`: a caller in a wait queue. `acquire_future`: the future that it polls.
//!
//! An acquire passes through them in this order: the provider selects the shard of the name; the shard grants a lease
//! from its table, or appends the caller to a wait queue and returns the future that waits.
//!
//! There is no background task, and every timer belongs to a waiting caller. The next caller for a lock finds that its
//! lease has expired. A lease that is renewed while its guard lives needs no step for that.

mod acquire_future;
mod attempt;
mod backend;
mod lock_info;
#[cfg(all(test, orchestrix_loom))]
mod loom_tests;
mod provider;
mod waiting_caller;

pub use lock_info::LockInfo;
pub use provider::InMemoryLockProvider;
