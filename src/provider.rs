//! Lock providers, and how to write one.
//!
//! Users need only [`DistributedLockProvider`]. Authors of providers need these as well:
//!
//! | name | what it is |
//! | --- | --- |
//! | [`LockBackend`] | grants a lock, at once or after a wait |
//! | [`LockRequest`] | the resource, the options and the [`Wait`] of one acquire |
//! | [`Lease`] | one granted lock, to extend and to release |
//! | [`GrantedLease`] | a lease on its way to the guard; its drop releases it |
//! | [`LeaseState`] | the fence, the deadline and the loss of a lease |
//! | [`Acquiring`], [`Releasing`] | the futures of an acquire and a release |
//! | [`Acquired`] | the output of [`Acquiring`] |
//!
//! The futures need no box if the result is known at once. [`Lease::granted_by`] and [`tell_lease_left`] are optional, and
//! give better answers to refused requests.
//!
//! A request for a lock passes through them in this order:
//!
//! ```text
//! DistributedLockProvider::create_lock -> DistributedLock                  (no I/O)
//!   DistributedLock::try_acquire -> LockBackend::acquire -> Acquiring      (waits; by way of `acquire_into`)
//!     GrantedLease { Arc<dyn Lease> } -> LockGuard                         (held)
//!       LockGuard::release or drop -> Lease::release -> Releasing          (free)
//! ```
//!
//! The crate builds guards, handles, the loss signal and the layers on top of these, for every provider. Each method says
//! what must hold, and the `conformance` feature tests it. `examples/own_provider.rs` is a complete provider, and
//! `docs/providers.md` says what changed since 0.1.

pub use crate::backend::{
    Acquired, Acquiring, BackendId, BoxFuture, GrantedLease, Lease, LeaseState, LeaseStatus, LockBackend, Release,
    Releasing, Term, tell_lease_left,
};
pub use crate::lock::DistributedLockProvider;
pub use crate::types::{LockRequest, LockRequestRef, Wait};

/// The old name of [`LeaseStatus`].
#[deprecated(since = "0.2.0", note = "is called `LeaseStatus` now")]
pub type Standing = LeaseStatus;
