//! The types that users hold: locks, the trait of the providers that make them, guards, handles, and the loss signal.

mod acquire;
mod distributed_lock;
mod guard;
mod handle;
mod held;
mod loss;
mod provider;
mod read_write;
mod set;

pub(crate) use acquire::{Pending, busy};
pub use distributed_lock::DistributedLock;
pub use guard::LockGuard;
pub use handle::LockHandle;
pub(crate) use held::Held;
pub use loss::Lost;
pub use provider::DistributedLockProvider;
pub use read_write::ReadWriteLock;
pub(crate) use set::Missing;
pub use set::{LockSet, LockSetGuard, LockSetHandle};
