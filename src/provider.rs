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

pub use crate::backend::{
    Acquired, Acquiring, BoxFuture, Lease, LeaseState, LeaseStatus, LockBackend, Release, Releasing, Term, Wait,
    tell_lease_left,
};
pub use crate::lock::DistributedLockProvider;

/// The old name of [`LeaseStatus`].
#[deprecated(since = "0.2.0", note = "is called `LeaseStatus` now")]
pub type Standing = LeaseStatus;
