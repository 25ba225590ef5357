//! What a lock provider is, and how to write one.
//!
//! Users meet [`DistributedLockProvider`] alone. Authors of providers meet four more names:
//!
//! | name | what it is |
//! | --- | --- |
//! | [`LockBackend`] | grants one resource's lock, now or after a wait |
//! | [`Lease`] | one granted lock: extends and releases it |
//! | [`LeaseState`] | the part of a lease that is the same everywhere: fence, deadline, loss |
//! | [`Acquiring`], [`Releasing`] | the futures of both, without a box where the answer is there at once; [`Acquired`] is that of the first |
//!
//! Two more are there for better answers, and can be left out: [`Lease::is_granted_by`] and [`tell_lease_left`].
//!
//! A request for a lock passes through them in this order:
//!
//! ```text
//! DistributedLockProvider::create_lock -> DistributedLock            (no I/O)
//!   DistributedLock::try_acquire -> LockBackend::acquire -> Acquiring (waits; by way of `acquire_into`)
//!     LockGuard { Arc<dyn Lease> }                                    (held)
//!       LockGuard::release or drop -> Lease::release -> Releasing     (free)
//! ```
//!
//! The guards, the handles, the loss signal and the layers are built on top of these, once, for every
//! provider. What a provider must keep true is written at each method; the `conformance` feature tests it.
//! `examples/own_provider.rs` is a whole one.

mod backend;
mod future;
#[cfg(feature = "memory")]
mod in_process;
mod lease;
mod lease_left;
mod lease_state;
#[cfg(all(test, orchestrix_loom))]
mod loom_tests;
mod packed_time;
mod term;
#[cfg(any(feature = "memory", feature = "redis"))]
mod waiter_limit;
mod watchers;

use std::fmt;
use std::sync::Arc;

pub use backend::{LockBackend, Wait};
pub use future::{Acquired, Acquiring, BoxFuture, Releasing};
pub use lease::{Lease, Release};
pub(crate) use lease_left::clear as clear_lease_left;
#[cfg(feature = "http")]
pub(crate) use lease_left::take as take_lease_left;
pub use lease_left::tell_lease_left;
pub use lease_state::{LeaseState, LeaseStatus};
#[cfg(feature = "redis")]
pub(crate) use packed_time::PackedInstant;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use waiter_limit::{DEFAULT_MOST, WaiterLimit, WaiterPermit};
/// The old name of [`LeaseStatus`].
#[deprecated(since = "0.2.0", note = "is called `LeaseStatus` now")]
pub type Standing = LeaseStatus;
pub use term::Term;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use term::time_after;
#[cfg(any(feature = "memory", feature = "redis"))]
pub(crate) use watchers::Wakers;
pub(crate) use watchers::Watcher;

use crate::{DistributedLock, LockError, LockOptions, Resource};

/// Makes locks: in memory, on Redis, or on whatever else can keep one.
///
/// Usable statically and as `Arc<dyn DistributedLockProvider>`, which is a provider too. See the
/// [module](self) for how to write one.
#[doc(alias = "IDistributedLockProvider")]
pub trait DistributedLockProvider: fmt::Debug + Send + Sync + 'static {
    /// A lock on `resource`. Makes no contact with the backend and takes nothing: acquiring does.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] if an option is out of its range.
    #[doc(alias = "CreateLock")]
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError>;

    /// Whether the backend can grant locks at present, for a readiness probe. Always, unless the provider
    /// says otherwise.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] or [`LockError::Backend`] with what is wrong, [`LockError::Closed`] after
    /// [`close`](Self::close).
    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Ends the provider. Releases every lock that is still held: its guard sees that as a loss. Ends waiters with
    /// [`LockError::Closed`], refuses later acquires with the same, and returns when pending releases are answered. Does
    /// nothing unless the provider says otherwise.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl<P: DistributedLockProvider + ?Sized> DistributedLockProvider for Arc<P> {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        (**self).create_lock(resource, options)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        (**self).check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        (**self).close()
    }
}
