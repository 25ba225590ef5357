//! What users hold: locks and the providers that make them, guards, handles, and the signal of a loss.

mod acquire;
mod distributed_lock;
mod guard;
mod handle;
mod loss;
mod provider;

pub(crate) use acquire::{Pending, busy};
pub use distributed_lock::DistributedLock;
pub use guard::LockGuard;
pub use handle::LockHandle;
pub use loss::Lost;
pub use provider::DistributedLockProvider;
