//! [`LockLayer`]: any Tower service, one request at a time for each resource.
//!
//! A closure names the resource that a request is about. The layer acquires its lock, passes the request on, and releases
//! the lock when the inner service has answered:
//!
//! ```
//! # #[cfg(feature = "memory")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), orchestrix_locking::BoxError> {
//! use std::time::Duration;
//! use orchestrix_locking::{BoxError, Locking};
//! use tower::{Service, ServiceBuilder, service_fn};
//!
//! struct Transfer {
//!     account: String,
//! }
//!
//! let locking = Locking::builder().add_in_memory_locking().build()?;
//! let layer = locking.layer(|request: &Transfer| request.account.clone()).wait(Duration::from_secs(2));
//! let mut service = ServiceBuilder::new()
//!     .layer(layer)
//!     .service(service_fn(|_: Transfer| async { Ok::<_, BoxError>("done") }));
//! assert_eq!(service.call(Transfer { account: "7".into() }).await?, "done");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "memory"))]
//! # fn main() {}
//! ```
//!
//! # What it does, in order
//!
//! 1. `poll_ready` is always ready: before the key is known there is nothing to wait for.
//! 2. The response future starts to acquire at its first poll. A request that waits for its lock uses nothing of the inner
//!    service: no permit of a concurrency limit, no slot in a buffer.
//! 3. Once the lock is held, a clone of the inner service is polled for readiness and called.
//! 4. If the lock is lost while the inner future runs, [`OnLost::Cancel`] ends that future, and [`OnLost::Continue`] does
//!    not.
//! 5. The inner future is dropped, then the lock is released, then the caller gets the answer.
//!
//! Dropping the response future removes the request from the wait queue, or drops the inner future and then releases the
//! lock. After a panic in the inner service, the server or `tokio::spawn` drops the response future, which frees the lock.
//!
//! # Caveats
//!
//! - A lock is not re-entrant. A service that calls itself through the same layer for the same resource waits for itself. So
//!   does a request that passes two such layers for one resource; `HttpLockLayer` refuses that at once.
//! - Two layers with different keys can wait for each other's locks. Acquire in the same order everywhere.
//!
//! `docs/middleware.md` says where to put the layer.

pub use crate::tower::{IntoResource, LockLayer, LockRequests, LockService, NamesLock, OnLost, ResponseFuture};
