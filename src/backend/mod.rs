//! What providers are made of: the traits that a backend implements, and the state of a lease that is the same everywhere.

mod future;
#[cfg(feature = "memory")]
mod in_process;
mod lease;
mod lease_left;
mod lease_state;
mod lock_backend;
#[cfg(all(test, orchestrix_loom))]
mod loom_tests;
mod packed_time;
mod term;
#[cfg(any(feature = "memory", feature = "redis"))]
mod waiter_limit;
mod watchers;

pub use future::{Acquired, Acquiring, BoxFuture, Releasing};
pub use lease::{Lease, Release};
pub(crate) use lease_left::clear as clear_lease_left;
#[cfg(feature = "http")]
pub(crate) use lease_left::take as take_lease_left;
pub use lease_left::tell_lease_left;
pub use lease_state::{LeaseState, LeaseStatus};
pub use lock_backend::{LockBackend, Wait};
#[cfg(feature = "redis")]
pub(crate) use packed_time::PackedInstant;
pub use term::Term;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use term::time_after;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use waiter_limit::{DEFAULT_MOST, WaiterLimit, WaiterPermit};
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use watchers::Wakers;
pub(crate) use watchers::Watcher;
