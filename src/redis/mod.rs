//! Locks across processes, on Redis or Valkey.
//!
//! A request for a lock passes through these files in this order:
//!
//! ```text
//! provider, backend       RedisLockProvider: the public side, no I/O
//!   acquire_future        the caller's future: a guard's lease, an error, or none when its time is up
//!     driver/             the table of locks, timers, runtimes; performs what the engine decides
//!       engine/           (crate::engine) holders, waiters, what the server was asked; decides, and does no I/O
//!       router/           which connection a call goes over: in a cluster that of the name's slot
//!         connection/     one connection: batches, time-outs, a new connection when it breaks
//!           discovery/    which server it is made to: Sentinel, a list, a cluster's map of slots
//!           protocol/     the Lua scripts, their arguments and their answers
//! ```
//!
//! Replies come back in the opposite direction: `connection` delivers the reply to every call, `driver` makes an event of it,
//! `engine` decides what follows, and `driver` fills the caller's `acquire_slot`, of which its future returns a guard.
//! Notifications of other processes also arrive in `connection`. `timer_queue` says when a renewal, the end of a lease or another
//! call of a waiter is due; `runtimes` knows in which tokio runtimes the guards are.
//!
//! `options`, `connection_string/` and `tls` are read once, into `settings`. `keys` has every name that is used on a server,
//! `slot` the slot of each in a cluster. `check` is the readiness check, whose findings are a `warning` each. `replicas`
//! confirms grants with replicas. The owner token, which proves an ownership, is in `crate::engine`.

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
