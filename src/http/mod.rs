//! `HttpLockLayer`: HTTP requests, one at a time for each resource. For axum, tonic and hyper.
//!
//! The guide for users is `guide.md`, at the type itself. The module is private: a public one of this name would hide the
//! crate `http` in code that imports everything from this crate.
//!
//! | file | what it does |
//! | --- | --- |
//! | `layer`, `config` | the layer that users build, and its settings |
//! | `key/` | reads the name of the lock from the request |
//! | `service`, `future` | run a request under its lock, with `crate::tower` |
//! | `grpc_timeout` | the time-out that a gRPC client sends |
//! | `body`, `framing` | hold the lock until the client has the whole answer |
//! | `bounded_release` | waits for the release, with a time limit |
//! | `disconnect`, `detach` | let a handler outlive its client |
//! | `held` | the locks that a request holds already |
//! | `upgrade`, `cut_off` | the lock of an upgraded connection; the end of one whose upgrade was refused |
//! | `refusal`, `refusal_response` | why a request is refused, and the answer that says so |
//! | `handler`, `extractor` | errors and handles in handlers of axum and tonic |

mod body;
mod bounded_release;
mod config;
mod cut_off;
mod detach;
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
