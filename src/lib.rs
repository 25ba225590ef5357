//! Distributed locks with fencing tokens, and Tower, axum and tonic layers that run requests under them.
//!
//! # The promise
//!
//! A lock is a lease. It is exclusive while clocks run at about the same rate and the backend keeps its data. Beyond that
//! there is a [`FencingToken`], which rises with every grant. A store can use it to refuse a late writer.
//! [`LockGuard::is_held`] reads a monotonic clock. It does not depend on a task that sets a flag in time.
//!
//! # Overview
//!
//! - [`Locking`] has the registered providers. An application builds it at start-up, and gets locks and layers from it.
//! - [`DistributedLock`] is the lock on one [`Resource`]. Acquiring it gives a [`LockGuard`], which releases it.
//!   [`LockHandle`] is a view of a held lock that can be cloned and passed on.
//! - [`ReadWriteLock`] has readers that hold it together and writers that hold it alone. [`Locking::semaphore`] lets at most so
//!   many callers hold a lock at once. `docs/kinds.md` says which kind is for what.
//! - [`LockSet`] is several locks at once: all or nothing, and never a deadlock among sets.
//! - [`LockLayer`] runs each request of a Tower service under the lock that the request names.
//! - `HttpLockLayer` does so for HTTP and gRPC, and answers refused requests itself (feature `http`).
//! - [`DistributedLockProvider`] keeps the locks. `RedisLockProvider` keeps them on a Redis or Valkey server, for all
//!   replicas of a service (feature `redis`); `InMemoryLockProvider` keeps them in this process. [`provider`] says how to
//!   write another one.
//!
//! "Another caller holds the lock", "the backend is down" and "the call is wrong" are different results everywhere: see
//! [`LockError`].
//!
//! # Examples
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use orchestrix_locking::{LockOptions, Locking};
//!
//! let locking = Locking::builder()
//!     .add_in_memory_locking()
//!     // How long a lock stays held after its holder was killed. 30 s by default.
//!     .default_options(LockOptions::default().ttl(Duration::from_secs(10)))
//!     .build()?;
//! let lock = locking.lock("order:42")?;
//! if let Some(guard) = lock.try_acquire(Duration::from_secs(5)).await? {
//!     println!("held, with token {}", guard.fencing_token());
//!     guard.release().await?; // waits until the lock is free
//! }
//! locking.close().await; // before the program ends: waits for the releases of dropped guards
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `memory` (default) | `InMemoryLockProvider` |
//! | `redis` | `RedisLockProvider` for Redis 6.2 or later and Valkey |
//! | `http` | `HttpLockLayer`, the module `key` |
//! | `axum` | extractor, [`LockError`] as a response, `key::path_param`; includes `http` |
//! | `tonic` | `NamedService`, [`LockError`] into `Status`, `key::metadata`; includes `http` |
//! | `tracing` | events |
//! | `metrics` | counters and a histogram |
//! | `serde` | [`FencingToken`] and [`Resource`] as serde types |
//! | `conformance` | the test suite for providers |
//!
//! The events are:
//!
//! - of an acquire: acquired, busy, cancelled (debug); failed, with the error (warn);
//! - of a guard, when it ends: lost (warn); its provider was closed (info);
//! - of a connection to Redis: connected (info); broken, no connection, no permission for channels, notifications that do
//!   not arrive, options and servers that may not suit locks (warn). In a long outage most of them are debug;
//! - of the HTTP layer: a mistake in the program, with its cause (error).
//!
//! The metrics are `orchestrix_locking_acquires_total` by `outcome`, `orchestrix_locking_lost_total`,
//! `orchestrix_locking_closed_total`, `orchestrix_locking_wait_seconds` and `orchestrix_locking_connections_total` by
//! `event`.
//!
//! Locks are acquired inside a tokio runtime with its timer enabled.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "redis")]
mod engine;
#[cfg(all(test, feature = "redis", feature = "axum", feature = "tonic"))]
#[path = "../tests/support/evidence.rs"]
mod evidence;
#[cfg(all(any(test, fuzzing), feature = "redis", feature = "axum", feature = "tonic"))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "http")]
mod http;
mod lock;
#[cfg(all(test, feature = "redis", feature = "tracing"))]
#[path = "../tests/support/log.rs"]
mod log;
#[cfg(feature = "memory")]
mod memory;
pub mod middleware;
pub mod provider;
#[cfg(feature = "redis")]
mod redis;
mod registry;
#[cfg(feature = "__simulation")]
#[doc(hidden)]
pub mod simulation;
mod sync;
mod telemetry;
mod tower;
mod types;

#[cfg(feature = "axum")]
pub use self::http::MissingLock;
#[cfg(feature = "http")]
pub use self::http::{
    Attached, Detachable, HoldUntil, HttpKey, HttpLockFuture, HttpLockLayer, HttpLockService, LockBody, OnDisconnect,
    Refusal, key,
};
#[cfg(feature = "redis")]
pub use self::redis::{RedisLockOptions, RedisLockProvider, RedisWarning};
/// The old name of [`RedisWarning`].
#[cfg(feature = "redis")]
#[deprecated(since = "0.2.0", note = "is called `RedisWarning` now")]
pub type Finding = RedisWarning;
pub use backend::Release;
pub use lock::{
    DistributedLock, DistributedLockProvider, LockGuard, LockHandle, LockSet, LockSetGuard, LockSetHandle, Lost,
    ReadWriteLock,
};
#[cfg(feature = "memory")]
pub use memory::{InMemoryLockProvider, LockInfo};
pub use registry::{Locking, LockingBuilder};
pub use tower::{IntoResource, LockLayer, LockRequests, LockService, OnLost};
pub use types::{
    BoxError, BuildError, BuildProblem, Cause, FencingToken, LockError, LockMode, LockOptions, LockRequest,
    ParseFencingTokenError, RefusedValue, Resource, ResourceError,
};

/// The snippets of the README and the guides, as tests.
#[cfg(all(doctest, feature = "memory", feature = "redis", feature = "axum", feature = "conformance"))]
mod guides {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/compile-errors.md")]
    mod compile_errors {}
    #[doc = include_str!("../docs/guarantees.md")]
    mod guarantees {}
    #[doc = include_str!("../docs/kinds.md")]
    mod kinds {}
    #[doc = include_str!("../docs/limits.md")]
    mod limits {}
    #[doc = include_str!("../docs/middleware.md")]
    mod middleware {}
    #[doc = include_str!("../docs/migrating-from-dotnet.md")]
    mod migrating_from_dotnet {}
    #[doc = include_str!("../docs/providers.md")]
    mod providers {}
    #[doc = include_str!("../docs/recipes.md")]
    mod recipes {}
    #[doc = include_str!("../docs/redis.md")]
    mod redis {}
}
