//! The provider of locks within one process, over [`in_process`](crate::backend::in_process), which keeps them.
//!
//! `provider` is the face, `lock_info` what it shows of a lock; `backend` grants a lock or makes its caller wait; `attempt`
//! is one try for a lock; `waiting_caller` is a caller in a queue, and `acquire_future` is what it polls.
//!
//! A lock passes through them in this order: the provider picks the shard of the name; the shard looks into
//! its table and grants a lease at once, or puts the caller into a queue and returns the future that waits for it.
//! There is no background task, and no timer without a caller that waits on it: an expired lease is noticed by the next
//! caller for the lock, and a lease that is renewed while its guard lives needs no renewing.

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
