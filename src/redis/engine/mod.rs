//! What a provider knows of its locks: who of this process holds which, who waits, and what the server was asked.
//!
//! For each resource that anybody here is concerned with there is an [`Entry`](entry::Entry). Everything that
//! happens to it happens under its shard's mutex: a caller comes or goes, the server answers, a message arrives, a
//! time is up. What follows is pushed to the [link](super::link) under the same mutex, so that the server is asked
//! in the order in which things happened here. Nothing here waits, and no answer comes while the mutex is held.
//!
//! No code of a user's runs under that mutex: no waker is woken, cloned or dropped there. What a step has to wake it
//! leaves with its [`Shard`], which wakes it once the mutex is free ([`Deferred`]). What is pushed may be sent at once,
//! which polls the redis crate's future under the mutex. That wakes the task which drives the connection, and the link's
//! own: they belong to that crate and to this one.
//!
//! A **tenure** is a lock that is ours on the server, under one token. A **lease** is one caller's hold of it. When
//! a caller of this process lets go and another one waits, the tenure goes on with the next lease, without asking
//! the server: the *turns* of a tenure. An **ask** is the one place in the server's queue that all waiters of this
//! process share.
//!
//! A step reads the clock once, under the mutex, and passes that `now` on. Where it is used it is a moment old: for
//! whatever begins that is the safe side (R2). Whether a lease is over is not left to it alone: the agenda comes again at
//! the end of each, and whoever holds one asks the clock for itself.
//!
//! What is kept true, cited by number in the files beside:
//!
//! - **R1** One lease at a time in a tenure, and one tenure at a time in an entry. Whoever is granted a new tenure
//!   ends the old one: the server would not have granted it if the old one were still ours.
//! - **R2** No lease ends later than its tenure, and no tenure later than the key on the server, whose time counts
//!   from before the command was sent. Our clock may stand still while the server's goes on: no lease is begun from a word
//!   of the server that is of another [epoch](super::clocks) than the present one.
//! - **R3** There is an ask if, and only if, somebody waits here and no tenure of ours will serve them.
//! - **R4** Everything that was asked of the server comes to an end there: an acquire whose answer is unknown or not
//!   wanted any more is undone, over and over, until the server has answered or the lease would have ended. It is
//!   undone after its own outcome, never before: overtaken by its undoing it would last.
//! - **R5** An entry with no tenure, no ask and no waiters is removed.
//! - **R6** Fences rise: the server's number in the upper bits rises from tenure to tenure, the turn in the lower ten
//!   bits within one. A tenure of 1024 turns ends.

mod acquire;
mod cancel;
mod close;
mod deferred;
mod draining;
mod entry;
mod extend;
mod giving_up;
mod handover;
mod notifications;
mod ownership;
mod release;
mod renew;
mod request;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod suspend_tests;
mod table;
#[cfg(test)]
mod user_code_tests;
mod watching;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use ::redis::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::acquire::Attempt;
pub(super) use self::acquire::WaiterAdmission;
use self::cancel::Cancellations;
use self::deferred::Deferred;
use self::draining::Drain;
use self::entry::Entry;
pub(super) use self::giving_up::GiveUp;
use self::ownership::Ownership;
use self::table::{Shard, Table};
use self::watching::Watches;
use super::acquire_slot::AcquireSlot;
use super::clocks::Clocks;
use super::connection::{Call, Caller, Connection, Driven, DriverSlot, Generation, Left, Reply};
use super::keys::Keys;
use super::lease::RedisLease;
use super::protocol::{Command, Message, Step};
use super::runtimes::Runtimes;
use super::settings::Settings;
use super::timer_queue::{self, TimerQueue};
use super::token::{InboxId, Token};
use crate::backend::{Release, WaiterLimit};
use crate::{LockError, Resource};

/// Every lock of one provider.
pub(super) struct Locks {
    pub(super) connection: Arc<Connection<Self>>,
    timers: TimerQueue<TimerEvent>,
    /// Which task does what the agenda says.
    agenda_driver: Arc<DriverSlot>,
    watches: Watches,
    drain: Drain,
    table: Table,
    runtimes: Runtimes,
    cancellations: Cancellations,
    closed: AtomicBool,
    clocks: Clocks,
    /// Over all resources.
    waiter_limit: Arc<WaiterLimit>,
}

/// Why the server was asked.
#[derive(Debug)]
pub(super) enum CallKind {
    /// For the waiters of this process: their place in the queue.
    PendingRequest,
    /// For one caller who does not wait.
    Try(Attempt, Arc<AcquireSlot>),
    /// To have enough of a lease for the next turn.
    LocalHandover,
    /// Because a third of the lease is over.
    Renew,
    /// To see whether a lease is still ours, after a connection broke.
    Check,
    /// Because a guard wants another end.
    Extend(Box<Extension>),
    /// Because a guard is done.
    Release(oneshot::Sender<Result<Release, LockError>>),
    /// Because nobody holds it any more, and nobody waits for the answer.
    LetGo,
    /// To take an acquire back (R4).
    Cancel,
}

/// What a guard wants. Large, and seldom among the calls that are pushed by the thousand.
#[derive(Debug)]
pub(super) struct Extension {
    lease: Arc<RedisLease>,
    duration: Duration,
    answer: oneshot::Sender<Result<bool, LockError>>,
}

/// What is to be done at a time.
#[derive(Debug)]
enum TimerEvent {
    /// A lease ends, or wants to be renewed; or ask again, in case a message was lost or a holder died. By the hash of the
    /// resource, and by what is noted there of the agenda.
    Lock(u64),
    /// Try again to undo.
    Cancel(Box<Token>),
}

impl Locks {
    pub(super) fn new(settings: Settings) -> Result<Self, LockError> {
        let keys = Keys::new(settings.prefix.as_str());
        let waiter_limit = WaiterLimit::new(settings.max_waiters_in_total);
        let connection = Connection::new(settings, keys, InboxId::random()?);
        Ok(Self {
            connection: Arc::new(connection),
            timers: TimerQueue::new(),
            agenda_driver: Arc::default(),
            watches: Watches::default(),
            drain: Drain::default(),
            table: Table::new(),
            runtimes: Runtimes::default(),
            cancellations: Cancellations::default(),
            closed: AtomicBool::new(false),
            clocks: Clocks::new(),
            waiter_limit,
        })
    }

    /// How many resources anybody here is concerned with.
    pub(super) fn len(&self) -> usize {
        self.table.len() + self.cancellations.len()
    }

    /// How many callers of this process wait for a resource.
    pub(super) fn waiters(&self, resource: &Resource) -> usize {
        self.shard(resource).get(resource).map_or(0, Entry::waiting)
    }

    /// How many callers of this process wait.
    pub(super) fn waiters_in_total(&self) -> usize {
        self.waiter_limit.taken()
    }

    /// Sees to it that the connection and the agenda are driven, in the present runtime if in no other. A caller that
    /// waits for an answer calls [`serve_from_here`](Self::serve_from_here) afterwards, so that it is not
    /// left alone with it.
    pub(super) fn serve(self: &Arc<Self>) {
        let agenda_is_driven = || self.agenda_driver.is_taken() || self.timers.has_ended();
        if self.connection.driver().is_taken() && agenda_is_driven() {
            return;
        }
        self.connection.serve(self);
        let Ok(runtime) = Handle::try_current() else { return };
        if agenda_is_driven() {
            return;
        }
        let Some(generation) = self.agenda_driver.claim(&runtime) else { return };
        let running = TimerRunning(Arc::clone(self), generation);
        runtime.spawn(Driven::new(&self.agenda_driver, generation, async move {
            let TimerRunning(locks, _) = &running;
            locks.timers.run(|at, due| locks.due(at, due)).await;
        }));
    }

    /// The same for something that a caller of the present runtime waits for, or outside of all: it is also done if the
    /// runtime that drives the connection is not run any more, or has ended.
    pub(super) fn serve_from_here(self: &Arc<Self>) {
        self.serve();
        match Handle::try_current() {
            Ok(runtime) => self.watch_from(&runtime),
            Err(_) => self.drain_outside_of_runtimes(),
        }
        self.wait_for_drain();
    }

    /// What a runtime has left alone is served in another one: by a waiter there, or for a holder. Whether
    /// there may be another.
    fn serve_elsewhere(self: &Arc<Self>) -> bool {
        let mut waiters = Vec::new();
        let mut runtimes = HashMap::new();
        let mut any = self.watches.any();
        self.table.each(|entry, _| {
            waiters.extend(entry.waiters().map(Arc::clone));
            let holder = entry.ownership.as_ref().and_then(|ownership| ownership.holder.as_ref());
            if let Some(runtime) = holder.and_then(|holder| holder.runtime()) {
                runtimes.entry(runtime.id()).or_insert(runtime);
            }
        });
        for waiter in waiters {
            any |= waiter.wake();
        }
        for runtime in runtimes.into_values() {
            let locks = Arc::clone(self);
            any = true;
            // In one that has ended as well, this is dropped without having run.
            runtime.spawn(async move { locks.serve() });
        }
        any
    }

    /// Whether a caller may have to wait a little beyond its own time: it has no answer yet, and the connection was closed,
    /// or its server could not do it, since there had been so many [changes](Connection::changes).
    pub(super) fn was_kept_from_its_answer(&self, resource: &Resource, changes: usize) -> bool {
        self.connection.has_changed_since(changes)
            && self.shard(resource).get(resource).and_then(Entry::request).is_some_and(|request| !request.is_waiting())
    }

    /// Ends the provider's tasks. What has been pushed is sent still.
    pub(super) fn retire(&self) {
        self.connection.retire();
        self.timers.end();
    }

    fn due(&self, at: timer_queue::Entry, due: TimerEvent) {
        match due {
            TimerEvent::Lock(hash) => self.lock_due(at, hash),
            TimerEvent::Cancel(token) => self.cancel_due(*token, at),
        }
    }

    /// Something is due for the lock that has put it on the agenda. If there is none any more, it was taken off at this
    /// moment.
    fn lock_due(&self, at: timer_queue::Entry, hash: u64) {
        let mut shard = self.table.shard_of(hash);
        let now = Instant::now();
        let Some((entry, _)) = shard.waiting_for(at) else { return };
        let resource = entry.resource().clone();
        if let Some(ownership) = entry.ownership.as_mut().filter(|ownership| ownership.due == Some(at)) {
            ownership.due = None;
            self.ownership_due(&resource, shard, now);
        } else if let Some(request) = entry.request_mut() {
            request.due = None;
            self.send_again(&resource, entry, now);
        }
    }

    fn shard(&self, resource: &Resource) -> Shard<'_> {
        self.table.shard(resource)
    }

    /// Where the guards of this provider's locks run.
    pub(super) fn runtimes(&self) -> &Runtimes {
        &self.runtimes
    }

    fn push(&self, resource: &Resource, token: Token, step: Step, kind: CallKind) {
        self.connection.push(Call::new(Command { resource: resource.clone(), token, step }, kind));
    }

    fn push_for(&self, ownership: &Ownership, resource: &Resource, step: Step, kind: CallKind) {
        self.push(resource, ownership.token(self.connection.inbox()), step, kind);
    }

    /// Takes something off the agenda, if it is there.
    fn remove_timer(&self, due: Option<timer_queue::Entry>) {
        if let Some(due) = due {
            self.timers.remove(due);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }
}

impl Caller for Locks {
    type CallKind = CallKind;

    fn answered(self: &Arc<Self>, call: Call<CallKind>, outcome: Reply) {
        let repeated = call.was_repeated();
        let Call { command, kind, .. } = call;
        match kind {
            // It was ours when it was first sent, and the connection was closed before the answer. That there is nothing
            // any more is what the first one has done, if nothing else has: it is free, as was asked for.
            CallKind::Release(answer) if repeated && nothing_found(&outcome) => {
                let outcome = Reply::Answered { answer: Value::Int(1), sent: Instant::now() };
                self.release_answered(&command, Some(answer), outcome);
            }
            CallKind::PendingRequest => self.request_answered(&command, outcome),
            CallKind::Try(attempt, waiter) => self.try_answered(&command, attempt, &waiter, outcome),
            CallKind::LocalHandover => self.turn_answered(&command, outcome),
            CallKind::Renew => self.renew_answered(&command, outcome),
            CallKind::Check => self.look_answered(&command, &outcome),
            CallKind::Extend(extension) => self.extend_answered(&command, extension, outcome),
            CallKind::Release(answer) => self.release_answered(&command, Some(answer), outcome),
            CallKind::LetGo => self.release_answered(&command, None, outcome),
            CallKind::Cancel => self.cancel_answered(&command, &outcome),
        }
    }

    fn heard(self: &Arc<Self>, message: &str) {
        match Message::read(message, self.connection.keys()) {
            Some(Message::Granted(grant)) => self.granted_by_message(&grant),
            Some(Message::Wanted(resource, token)) => self.wanted_by_others(&resource, token),
            None => {}
        }
    }

    fn reconnected(self: &Arc<Self>) {
        self.table.each(|entry, _| {
            let (resource, now) = (entry.resource().clone(), Instant::now());
            self.send_again(&resource, entry, now);
            self.check_ownership(&resource, entry, now);
        });
        self.cancel_all_again();
    }

    fn abandoned(self: &Arc<Self>, left: Left) -> bool {
        let others = self.serve_elsewhere();
        self.drain_after_a_runtime(left, others)
    }
}

/// Says that the agenda is driven. Dropped it is not any more, also if its task ends with its runtime, or never began; if
/// it was deposed before, nothing changes.
struct TimerRunning(Arc<Locks>, Generation);

impl Drop for TimerRunning {
    fn drop(&mut self) {
        if self.0.agenda_driver.resign(self.1) {
            self.0.serve_elsewhere();
        } else if let Ok(runtime) = Handle::try_current() {
            // Deposed: another runtime drives now, and may be left alone in its turn.
            self.0.watch_from(&runtime);
        }
    }
}

/// Whether a release found that the lock is not ours.
fn nothing_found(outcome: &Reply) -> bool {
    matches!(outcome, Reply::Answered { answer: Value::Int(0), .. })
}

/// What a lease on the server is worth here: two clocks may differ by a hundredth, and the server counts in whole
/// milliseconds.
pub(super) fn minus_clock_drift(lease: Duration) -> Duration {
    lease.saturating_sub(lease / 100 + Duration::from_millis(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a process has of each lock that it holds, of which there may be a hundred thousand. An allocator adds eight
    /// bytes to each allocation and rounds it up to sixteen; a few bytes more here may be sixteen there.
    #[test]
    fn what_is_kept_by_the_hundred_thousand_is_small() {
        let counts = 2 * size_of::<usize>();
        assert!(size_of::<Entry>() <= 120, "{}", size_of::<Entry>());
        assert!(size_of::<RedisLease>() + counts <= 136, "{}", size_of::<RedisLease>() + counts);
        // Gone with the answer. What has its place afterwards should fill it, or the rest of it is never used again: they
        // are allocated in sixteens like the entry and the lease.
        assert!(size_of::<AcquireSlot>() + counts <= 120, "{}", size_of::<AcquireSlot>() + counts);
        assert!(Entry::queue_size() <= 136, "{}", Entry::queue_size());
        assert!(size_of::<TimerEvent>() <= 16, "{}", size_of::<TimerEvent>());
        assert!(size_of::<Call<CallKind>>() <= 104, "{}", size_of::<Call<CallKind>>());
    }
}
