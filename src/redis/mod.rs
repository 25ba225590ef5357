//! Locks across processes, on Redis or Valkey.
//!
//! A request for a lock passes through the files in this order:
//!
//! ```text
//! provider, backend   RedisLockProvider: the face; no I/O
//!   wait              the caller's future: an answer, or its time is up
//!     locks/          who holds, who waits, what the server was asked; decides, and does no I/O
//!       script/       the calls: Lua on the server, and what it answers
//!         link/       the one connection: pipelines, time-outs, a new connection when it breaks
//! ```
//!
//! Answers come back the same way: `link` gives every call its outcome, `locks` decides what follows, a
//! [`waiter`] is answered, its future returns a guard. Messages of other processes enter at `link` too. `agenda` says
//! when something is due: a renewal, the end of a lease, a question to be asked again; `runtimes` in which runtimes the
//! guards are.
//!
//! `keys` has every name that is used on a server, `token` the secret that makes somebody an owner.

mod acquire_future;
mod acquire_slot;
mod backend;
mod check;
mod clocks;
mod connection;
mod connection_string;
mod driver;
#[cfg(all(any(test, fuzzing), feature = "axum", feature = "tonic"))]
pub(crate) mod fuzz;
mod jitter;
mod keys;
mod lease;
mod options;
mod protocol;
mod provider;
mod runtimes;
mod settings;
#[cfg(test)]
mod settings_tests;
mod slot;
mod timer_queue;
mod tls;

pub use check::RedisWarning;
pub use options::RedisLockOptions;
pub use provider::RedisLockProvider;
