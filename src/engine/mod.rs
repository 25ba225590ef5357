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
//! A lock has a local wait queue ([`WaitQueue`](wait_queue::WaitQueue)): the callers of this process in the order in which
//! they came, in whichever [mode](crate::LockMode) they want it. And it has owner tokens, each in one of these states:
//!
//! ```text
//!      callers wait, and nothing               the reply, or a notification,
//!      of ours will serve them                 says that the lock is granted
//!   ────────────────────────► ┌────────────┐ ──────────────────────────┐
//!                             │ Requesting │                           ▼
//!   ◄──────────────────────── └────────────┘                ┌────────────────────┐
//!      refused, failed, or                                  │ Owned: held        │ ◄──┐
//!      no caller waits for it                               └────────────────────┘    │ the server
//!      any more (cancelled)                                   │      │   │    ▲       │ has replied
//!                                                             │      │   └────┘       │
//!   ◄─────────────────────────────────────────────────────────┘      │   local        │
//!                     lost, released, or over                        ▼   hand-over    │
//!                                                           ┌─────────────────────┐   │
//!   ◄────────────────────────────────────────────────────── │ Owned: handing over │ ──┘
//!                                                           └─────────────────────┘
//! ```
//!
//! - **Requesting** ([`PendingRequest`](request::PendingRequest)): the first callers who want the same share one request; each
//!   permit has one of its own. Its acquire is *in flight*, or it stands in the server's wait queue and *waits*: for a
//!   notification, or for the time at which it asks again.
//! - **Owned** ([`Ownership`](ownership::Ownership)): the server has granted the lock to this owner token. It is *held* by a
//!   caller of this process, if it is shared by several, each with a lease of its own. An exclusive one may pass to the next
//!   caller without a message to the server (a *local hand-over*), and a shared one may be joined by more readers. Or it is
//!   being *handed over*: the next caller needs a longer lease than what is left, or the server's word on whether other
//!   processes wait, and the server has been asked for it.
//!
//! A lock is *free* where it has neither; it is removed then. [`Lock::handle`] shows what each event does.
//!
//! Most locks have one owner token at a time. Several are there where this process holds several permits; where readers hold
//! the lock and a writer has asked for it; and for a moment where a caller who does not wait was granted the lock while a
//! request was on its way.
//!
//! An acquire that is not wanted any more, or whose outcome is not known, becomes a cancellation. Those are not part of
//! any lock's state: they have a small machine of their own, [`Cancellations`].
//!
//! # Invariants
//!
//! They are cited by number in the files beside.
//!
//! - **R1** What is owned at the same time in one lock can be held together: one exclusive ownership, or shared ones, or those
//!   of permits. A newly granted one ends those with which it cannot be held: the server would not have granted it if they were
//!   still ours. An ownership has one holder at a time, unless it is shared.
//! - **R2** No lease ends later than its ownership, and no ownership later than what the server keeps of it, whose time counts
//!   from before the command was sent. Our clock may stand still while the server's goes on: no lease begins from a word of
//!   the server that is of another [epoch](Epoch) than the present one.
//! - **R3** The server is asked for what the first callers wait for, in the mode of the first, and for nothing else: unless a
//!   caller of this process holds the lock exclusively, or a shared ownership of ours may serve them. So a caller overtakes
//!   none who came before and wants the lock in another mode.
//! - **R4** Everything that was asked of the server comes to an end there. An acquire whose outcome is unknown, or which is
//!   not wanted any more, is cancelled again and again until the server has replied or the lease would have ended. A
//!   cancellation is sent only once the outcome of its acquire is known or cannot be known any more: otherwise it could run
//!   first and leave the lock behind.
//! - **R5** What no caller holds, and none is about to hold, is given back. A lock that is free, and for which no caller waits,
//!   is removed.
//! - **R6** Fencing tokens rise: the server's number in the upper bits rises from grant to grant, the number of the local
//!   hand-over in the lower ten bits within one exclusive ownership, which ends after 1024 holders. Readers who hold the lock
//!   together have one token.

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
mod requests;
mod several;
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
