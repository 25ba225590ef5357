//! What providers are made of: the traits that a backend implements, and the state of a lease, the same for all of
//! them.

mod acquiring;
mod backend_id;
mod future;
mod granted_lease;
#[cfg_attr(not(feature = "memory"), path = "no_in_process.rs")]
pub(crate) mod in_process;
mod lease;
mod lease_left;
mod lease_state;
mod lock_backend;
#[cfg(all(test, orchestrix_loom))]
mod loom_tests;
mod packed_time;
mod releasing;
mod term;
#[cfg(any(feature = "memory", feature = "redis"))]
mod waiter_limit;
mod watchers;

pub use acquiring::{Acquired, Acquiring};
pub use backend_id::BackendId;
pub use future::BoxFuture;
pub use granted_lease::GrantedLease;
pub use lease::Lease;
pub(crate) use lease_left::clear as clear_lease_left;
#[cfg(feature = "http")]
pub(crate) use lease_left::take as take_lease_left;
pub use lease_left::tell_lease_left;
pub use lease_state::{LeaseState, LeaseStatus};
pub use lock_backend::LockBackend;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use packed_time::PackedInstant;
pub use releasing::{Release, Releasing};
pub use term::Term;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use waiter_limit::{DEFAULT_MAX_WAITERS, WaiterAdmission, WaiterLimit, WaiterPermit};
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use watchers::Wakers;
pub(crate) use watchers::Watcher;
