//! [`LockSet`]: several locks at once, all or nothing.
//!
//! # How it works
//!
//! An acquire of a set goes round by round (`acquire`):
//!
//! 1. All locks that are missing are attempted at once, without waiting ([`Round`](round::Round)). If all are granted, the set
//!    is held. A server is sent one command for them: [`LockBackend::together`](crate::provider::LockBackend::together).
//! 2. Otherwise the set keeps what was granted before the first missing name, in byte order, and releases the rest. It waits
//!    for that one name in its queue, and then begins the next round.
//!
//! So a set that waits holds only locks whose names come before the one that it waits for. Of several sets that wait for each
//! other, the one with the last of these names would have to wait for a later one. There is none, so they never deadlock.

mod acquire;
mod guard;
mod handle;
mod lock_set;
mod plan;
mod release;
mod round;

pub(crate) use acquire::Missing;
pub use guard::LockSetGuard;
pub use handle::LockSetHandle;
pub use lock_set::LockSet;
