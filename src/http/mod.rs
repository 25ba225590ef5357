//! [`HttpLockLayer`]: HTTP requests, one at a time for each resource. For axum, tonic and hyper.
//!
//! ```
//! # #[cfg(feature = "memory")] {
//! use std::time::Duration;
//! use orchestrix_locking::{InMemoryLockProvider, HttpLockLayer, key};
//!
//! let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key::header("x-account").prefixed("account"))
//!     .wait(Duration::from_secs(2));
//! # let _ = layer; }
//! ```
//!
//! It is a [`LockLayer`](crate::LockLayer) that knows HTTP: it keeps the inner service's error type, answers refused
//! requests itself, and holds the lock until the response body has ended. A [`LockHandle`](crate::LockHandle) is among
//! the extensions of the request that the inner service gets; with the `axum` feature handlers take it as an argument.
//!
//! # When the lock is free again
//!
//! With [`HoldUntil::BodyEnd`] the lock is held until the end of the response body: the end of the stream, trailers, an
//! error, or the body's drop, which is what servers do when the client is gone. The last frame is passed on when the
//! release has been answered, so that a client that has its whole answer finds the lock free. With
//! [`HoldUntil::Response`] it is released before the response is passed on. A silent backend holds an answer up for
//! [`release_timeout`](HttpLockLayer::release_timeout) at most.
//!
//! # Refusals
//!
//! As `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), with the `type`
//! `urn:orchestrix:locking:` and the name below. Where the request's content type begins with `application/grpc`, as a
//! gRPC status without a body.
//!
//! | case | name | HTTP | gRPC |
//! | --- | --- | --- | --- |
//! | held, and the layer does not wait | `held` | 409 | `ABORTED` |
//! | held until the wait or the `grpc-timeout` ran out | `busy` | 503, `Retry-After` | `UNAVAILABLE` |
//! | the key is missing or bad | `invalid-key` | 400 | `INVALID_ARGUMENT` |
//! | too many waiters | `too-many-waiters` | 429, `Retry-After` | `RESOURCE_EXHAUSTED` |
//! | the backend is down, or answers with an error | `unavailable` | 503, `Retry-After` | `UNAVAILABLE` |
//! | lost while the handler ran ([`OnLost::Cancel`](crate::OnLost::Cancel)) | `lost` | 500 | `INTERNAL` |
//! | the provider is closed | `closed` | 503, `Retry-After` | `UNAVAILABLE` |
//! | a mistake in the program | `misconfigured` | 500 | `INTERNAL` |
//!
//! `busy` and `unavailable` share a status, not a type: somebody at work is no outage.
//! [`on_refusal`](HttpLockLayer::on_refusal) maps a case to another status, or writes another answer altogether.
//!
//! # Caveats
//!
//! A request's body is not read while the request waits for its lock. Put the layer inside layers that authenticate,
//! so that nobody else can hold a lock up, and outside layers that limit how many requests run. A layer outside that
//! reads the whole response before it passes anything on, or that goes on reading after its end, sees the lock freed at
//! the end of its reading.

mod answer;
mod body;
#[cfg(feature = "axum")]
mod extractor;
mod framing;
mod future;
pub mod key;
mod layer;
mod letting_go;
mod refusal;
mod service;
mod settings;
mod timeout;

pub use body::LockBody;
#[cfg(feature = "axum")]
pub use extractor::MissingLock;
pub use future::HttpLockFuture;
pub use layer::HttpLockLayer;
pub use refusal::Refusal;
pub use service::HttpLockService;
pub use settings::HoldUntil;
