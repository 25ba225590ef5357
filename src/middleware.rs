//! [`LockLayer`]: any Tower service, one request at a time for each resource.
//!
//! A closure names the resource that a request is about; the layer acquires its lock, passes the request on,
//! and releases the lock when the answer is there:
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
//! 2. The response future, at its first poll, begins to acquire. A request that waits for its lock takes
//!    nothing from the inner service: no place in a concurrency limit, no slot in a buffer.
//! 3. Once the lock is held, a clone of the inner service is asked for readiness and called.
//! 4. While the inner future runs, a loss of the lock ends it ([`OnLost::Cancel`]) or does not
//!    ([`OnLost::Continue`]).
//! 5. The inner future is dropped, then the lock is released, then the caller sees the answer.
//!
//! Dropping the response future at any point gives up the place in the queue or releases the lock, after the
//! inner future has been dropped. After a panic in the inner service that is what frees it, as servers and `tokio::spawn`
//! do at once.
//!
//! # Caveats
//!
//! A lock is not re-entrant: a service that calls itself, through the same layer and for the same resource,
//! waits for itself. So does a request that passes two such layers for one resource; `HttpLockLayer` finds that at once.
//! Two layers with different keys can wait for each other's locks; acquire in one order. `docs/middleware.md` has more on
//! where to put the layer.

pub use crate::tower::{IntoResource, LockLayer, LockService, NamesLock, OnLost, ResponseFuture};
