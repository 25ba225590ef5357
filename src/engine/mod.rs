//! The protocol of a client of a lock server, as a state machine: no I/O, no clock of its own, no wakers, and no type of
//! any server's.
//!
//! Each resource that this process holds, or wants, has a [`Lock`]. All that happens to it is an [`Event`]; the machine
//! changes its state and leaves what follows in [`Actions`]: calls to send to the server, callers to answer, watchers to
//! wake. A *driver* (`redis::driver`) owns the locks, each under the mutex of its shard. It hands events to them one at a
//! time, queues the calls in order while it holds the mutex, and does all the rest once the mutex is free. What the
//! machine has to know of the world it asks of its [`Host`], and the time is passed to it. So it can be run without a
//! server, a network or a clock.
//!
//! # States
//!
//! ```text
//!             a caller joins                        the reply, or a notification,
//!  ┌──────┐ ─────────────────► ┌────────────┐       says that the lock is granted
//!  │ Free │                    │ Requesting │ ──────────────────────────┐
//!  └──────┘ ◄───────────────── └────────────┘                           ▼
//!     ▲      refused, failed,     ▲    ▲                     ┌────────────────────┐
//!     │      or the last waiter   │    └──────────────────── │ Owned: held        │ ◄──┐
//!     │      left (cancelled)     │      lost or released,   └────────────────────┘    │ the server
//!     │                           │      callers wait here    │      │   │    ▲        │ counts the
//!     │                           │                           │      │   └────┘        │ lease anew
//!     ├───────────────────────────┼───────────────────────────┘      │  local          │
//!     │       lost or released    │                                  ▼  hand-over      │
//!     │                           │                          ┌─────────────────────┐   │
//!     │                           └───────────────────────── │ Owned: handing over │ ──┘
//!     └───────────────────────────────────────────────────── └─────────────────────┘
//! ```
//!
//! - **Free**: this process neither owns the lock nor asks for it.
//! - **Requesting** ([`PendingRequest`](request::PendingRequest)): the callers of this process share one request. Its
//!   acquire is *in flight*, or it stands in the server's wait queue and *waits*: for a notification, or for the time at
//!   which it asks again.
//! - **Owned** ([`Ownership`](ownership::Ownership)): the lock's key on the server carries our owner token. It is *held* by
//!   a caller of this process, who may be followed by the next one without a message to the server (a *local hand-over*);
//!   or it is being *handed over*: the next caller needs a longer lease than what is left, and the server has been asked
//!   for it.
//!
//! Beside the states a lock has its local wait queue ([`WaitQueue`](wait_queue::WaitQueue)): the callers of this process in
//! the order in which they came. [`Lock::handle`] shows every pair of state and event.
//!
//! An acquire that is not wanted any more, or whose outcome is not known, becomes a cancellation. Those are not part of
//! any lock's state: they have a small machine of their own, [`Cancellations`].
//!
//! # Invariants
//!
//! They are cited by number in the files beside.
//!
//! - **R1** One ownership at a time in a lock, and one holder at a time in an ownership. A newly granted ownership ends the
//!   older one: the server would not have granted it if the older one were still ours.
//! - **R2** No lease ends later than its ownership, and no ownership later than the key on the server, whose time counts
//!   from before the command was sent. Our clock may stand still while the server's goes on: no lease begins from a word of
//!   the server that is of another [epoch](Epoch) than the present one.
//! - **R3** There is a request if, and only if, a caller waits here and no ownership of ours will serve it.
//! - **R4** Everything that was asked of the server comes to an end there. An acquire whose outcome is unknown, or which is
//!   not wanted any more, is cancelled again and again until the server has replied or the lease would have ended. A
//!   cancellation is sent only once the outcome of its acquire is known or cannot be known any more: otherwise it could run
//!   first and leave the lock behind.
//! - **R5** A lock that is free, and for which no caller waits, is removed.
//! - **R6** Fencing tokens rise: the server's number in the upper bits rises from ownership to ownership, the number of the
//!   hand-over in the lower ten bits within one. An ownership ends after 1024 holders.

mod acquire;
mod action;
mod attempt;
mod cancel;
mod close;
mod command;
mod context;
mod event;
mod extend;
mod give_up;
mod grant;
mod host;
mod lock;
mod notification;
mod owner_token;
mod ownership;
mod release;
mod renew;
mod reply;
mod request;
#[cfg(feature = "__simulation")]
mod simulation;
#[cfg(test)]
mod testing;
mod ttl_millis;
mod wait_queue;

pub(crate) use self::action::{AcquireResult, Actions};
pub(crate) use self::cancel::{Cancellations, Cancelled};
pub(crate) use self::command::{CallKind, Command, Joining, Step};
pub(crate) use self::context::Context;
pub(crate) use self::event::{Event, ExtendAnswer, Grant, ReleaseAnswer};
pub(crate) use self::host::{Epoch, Host, Lease, Waiter};
pub(crate) use self::lock::Lock;
pub(crate) use self::owner_token::{InboxId, OwnerToken};
pub(crate) use self::reply::{Acquired, CancelReply, Refusal, Reply, ServerTime};
pub(crate) use self::ttl_millis::TtlMillis;

use std::time::Duration;

/// How long a lease of this length may be believed in, from the time before its command was sent: clocks that run at
/// slightly different speeds are allowed for with a hundredth of it, and a server's timer with two milliseconds.
pub(crate) fn minus_clock_drift(lease: Duration) -> Duration {
    lease.saturating_sub(lease / 100 + Duration::from_millis(2))
}
