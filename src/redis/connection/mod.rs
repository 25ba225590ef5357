//! The connection to a server: one for each provider, in a cluster one for each node, shared by all that it does.
//!
//! A caller [enqueues](Connection::enqueue) a [`Call`], from any thread and under any mutex, and [flushes](Connection::flush)
//! once that mutex is free. If nothing is in flight, the flush sends the call. Otherwise one task, the
//! [supervisor], sends what has been queued meanwhile as one batch. It delivers to every call its [`Reply`], and
//! replaces the connection when it breaks or falls silent, for as long as the provider lives.
//!
//! ```text
//! out   enqueue -> flush -> Sender::send_queued -> Batch::new -> protocol::encode -> Batch::send
//! back  supervisor::exchange -> deliver_in_portions -> CompletedBatch::deliver -> Shared::answer -> Caller::answered
//! ```
//!
//! Invariants, cited by number where they are kept:
//!
//! - **K1** Every call gets exactly one reply, also if the supervisor or its runtime ends first, or is not run any more. The
//!   one exception is a call that was [withdrawn](Connection::withdraw) before it was sent.
//! - **K2** Calls are sent in the order in which they were enqueued; those that free or keep a lock go before those that
//!   acquire one. A call that is sent again, since the server has not run it, goes before all that were enqueued since. Of
//!   several batches that were in flight at that time the later one may go first. No caller relies on more: what follows
//!   from a reply is enqueued after it.
//! - **K3** A call whose reply is [`Reply::NotSent`] has not run and never will. One that may have run, or may still run, is
//!   in doubt: [`Reply::Indeterminate`].
//! - **K4** A failover is a wait: a call that certainly has not run waits for the next connection, for a
//!   [bounded time](Call::may_wait_for), if the server replies "not here" or "not now", and for a minute after a connection
//!   ended. No call waits for a server that is known to be out of reach beyond that: it fails at once, with the reason.
//! - **K5** The supervisor alone detects that a connection is dead. It needs no caller that waits long enough.
//! - **K6** One supervisor at a time drives the connection. One that was deposed changes nothing any more: neither the
//!   condition nor the sender, and no notification that its connection still receives is passed on.

mod batch;
mod call;
mod call_queue;
mod caller;
mod cluster_supervisor;
mod completed_batch;
mod connect;
mod error_class;
mod failure;
#[cfg(test)]
mod flush_tests;
mod health;
mod hello;
mod in_flight;
mod link;
mod redact;
mod sender;
mod sender_guard;
mod shared;
#[cfg(feature = "__simulation")]
mod simulated;
mod supervisor;
mod supervisor_guard;
mod task_slot;
mod unanswered;

pub(super) use call::Call;
pub(super) use caller::{Caller, Node, Redirect, Reply, SupervisorExit};
pub(super) use connect::{connect_apart, pool, pool_error};
pub(super) use error_class::{is_redirected, redirect};
pub(super) use failure::{CHECKING, CONFIRMING, Failure, connection_closed, timed_out, was_closed_before_reply};
pub(super) use health::Condition;
pub(super) use hello::ServerFacts;
pub(super) use link::Connection;
pub(super) use redact::redact;
pub(super) use task_slot::{Generation, Probe, RuntimeNumber, TaskSlot, WatchedTask};
pub(super) use unanswered::Withdrawn;

#[cfg(feature = "__simulation")]
pub(super) use simulated::{SimulatedCommand, SimulatedLink};
