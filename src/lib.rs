//! Distributed locks with fencing tokens, and Tower, axum and tonic layers that run requests under them.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod fencing;
mod guard;
mod lock;
mod lost;
#[cfg(feature = "memory")]
mod memory;
mod options;
pub mod provider;
mod registry;
mod resource;
mod sync;

pub use error::{BoxError, Cause, LockError};
pub use fencing::{FencingToken, ParseFencingTokenError};
pub use guard::{LockGuard, LockHandle};
pub use lock::DistributedLock;
pub use lost::Lost;
#[cfg(feature = "memory")]
pub use memory::{InMemoryLockProvider, LockInfo};
pub use options::LockOptions;
pub use provider::{DistributedLockProvider, Release};
pub use registry::{BuildError, BuildProblem, Locking, LockingBuilder};
pub use resource::{Resource, ResourceError};
