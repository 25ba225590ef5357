//! Locks across processes, on Redis or Valkey.
//!
//! A request for a lock passes through these files in this order:
//!
//! ```text
//! provider, backend     RedisLockProvider: the public side, no I/O
//!   acquire_future      the caller's future: a result, or its time-out
//!     engine/           holders, waiters, what the server was asked; decides, and does no I/O
//!       connection/     the one connection: batches, time-outs, a new connection when it breaks
//!         protocol/     the Lua scripts, their arguments and their answers
//! ```
//!
//! Replies come back in the opposite direction: `connection` delivers the reply to every call, `engine` decides what follows
//! and fills the caller's `acquire_slot`, and its future returns a guard. Notifications of other processes also arrive in
//! `connection`. `timer_queue` says when a renewal, the end of a lease or another call of a waiter is due; `runtimes` knows in
//! which tokio runtimes the guards are.
//!
//! `keys` has every name that is used on a server, and `token` the secret that proves an ownership.

mod acquire_future;
mod acquire_slot;
mod backend;
mod check;
mod clocks;
mod connection;
mod connection_string;
mod discovery;
mod driver;
#[cfg(all(any(test, fuzzing), feature = "axum", feature = "tonic"))]
pub(crate) mod fuzz;
mod jitter;
mod keys;
mod lease;
mod options;
mod protocol;
mod provider;
mod replicas;
mod router;
mod runtimes;
mod settings;
#[cfg(test)]
mod settings_tests;
#[cfg(feature = "__simulation")]
pub(crate) mod simulation;
mod slot;
mod timer_queue;
mod tls;
mod warning;

pub use options::RedisLockOptions;
#[cfg(feature = "__simulation")]
pub use protocol::{ScriptTexts, script_texts};
pub use provider::RedisLockProvider;
pub use warning::RedisWarning;
