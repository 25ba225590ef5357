//! `HttpLockLayer`: HTTP requests, one at a time for each resource. For axum, tonic and hyper.
//!
//! `guide.md` is what users read of it, at the type itself: a public module of the name `http` would stand in the way of
//! the crate `http` wherever somebody imports everything.
//!
//! `key` names the lock, `service` and `future` run a request under it (with `crate::middleware`), `body` goes on
//! holding it, `course` lets a handler outlive its client, `held` knows the locks that a request has already, `framing`
//! knows when an answer is whole, `upgrade` keeps the lock of an upgraded connection, `cut_off` ends a connection whose
//! upgrade was refused, `letting_go` waits for the release, `refusal` says what went wrong and `answer` writes that,
//! `handler` also for handlers that take locks themselves.

mod body;
mod bounded_release;
mod config;
mod cut_off;
mod disconnect;
#[cfg(feature = "axum")]
mod extractor;
mod framing;
mod future;
#[cfg(all(any(test, fuzzing), feature = "redis", feature = "axum", feature = "tonic"))]
pub(crate) mod fuzz;
mod grpc_timeout;
#[cfg(any(feature = "axum", feature = "tonic"))]
mod handler;
mod held;
pub mod key;
mod layer;
mod refusal;
mod refusal_response;
mod request_task;
mod service;
mod upgrade;

pub use body::LockBody;
pub use config::HoldUntil;
pub use disconnect::{Attached, Detachable, OnDisconnect};
#[cfg(feature = "axum")]
pub use extractor::MissingLock;
pub use future::HttpLockFuture;
pub use key::HttpKey;
pub use layer::HttpLockLayer;
pub use refusal::Refusal;
pub use service::HttpLockService;
pub(crate) use upgrade::Kept;
