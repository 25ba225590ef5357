//! Distributed locks with fencing tokens, and Tower, axum and tonic layers that run requests under them.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod error;
mod fencing;
mod guard;
#[cfg(feature = "http")]
pub mod http;
mod lock;
mod lost;
#[cfg(feature = "memory")]
mod memory;
pub mod middleware;
mod options;
pub mod provider;
mod registry;
mod resource;
mod sync;

#[cfg(feature = "axum")]
pub use self::http::MissingLock;
#[cfg(feature = "http")]
pub use self::http::{HoldUntil, HttpLockFuture, HttpLockLayer, HttpLockService, LockBody, Refusal, key};
pub use error::{BoxError, Cause, LockError};
pub use fencing::{FencingToken, ParseFencingTokenError};
pub use guard::{LockGuard, LockHandle};
pub use lock::DistributedLock;
pub use lost::Lost;
#[cfg(feature = "memory")]
pub use memory::{InMemoryLockProvider, LockInfo};
pub use middleware::{IntoResource, LockLayer, LockService, OnLost};
pub use options::LockOptions;
pub use provider::{DistributedLockProvider, Release};
pub use registry::{BuildError, BuildProblem, Locking, LockingBuilder};
pub use resource::{Resource, ResourceError};
