//! The link to the server: one connection, shared by everything that a provider does.
//!
//! Whoever has something to ask [pushes](Connection::push) a [`Call`], from any thread and under any lock. If nothing is on its
//! way, that sends it. Otherwise one task, the [supervisor](supervisor), gathers what has been pushed into pipelines and
//! sends those. It gives every call its [`Reply`], and replaces the connection whenever that breaks or falls silent,
//! for as long as the provider lives.
//!
//! What is kept true:
//!
//! - **K1** Every call gets exactly one outcome, also if the task or its runtime ends in between, or is not run any more;
//!   but for one that was [withdrawn](Connection::withdraw) before it was sent.
//! - **K2** Calls are sent in the order in which they were pushed, those that free or keep a lock before those that
//!   acquire one. What is sent again, since the server has not run it, goes before what was pushed since; of several
//!   pipelines that were on their way at that time the later may go first. Nobody counts on more: what follows from an
//!   outcome is pushed after it.
//! - **K3** A call whose outcome is [`Reply::NotSent`] has not run and never will. One that may have run, or may
//!   run yet, is [`Reply::Indeterminate`].
//! - **K4** No call waits for a server that is known to be out of reach: it fails at once, with the reason. A server that
//!   answers "not here, not now" is within reach, and a connection that has just been closed is likely to be made anew:
//!   then a call that certainly has not run waits for the next connection, for a [bounded time](Call::may_wait_for).
//! - **K5** Detecting a dead connection is the supervisor's business, and takes no caller that waits long enough.
//! - **K6** One supervisor at a time drives the link. One that was deposed changes nothing any more: not the condition, not
//!   the channel, and no message that its connection still receives is passed on.

mod batch;
mod call;
mod call_queue;
mod connect;
mod driver;
mod failure;
#[cfg(test)]
mod flush_tests;
mod hello;
mod in_flight;
mod open;
mod redact;
mod reply;
mod running;
mod sender;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ::redis::Value;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use call::Call;
pub(super) use connect::{made_none, pool};
pub(super) use driver::{Driven, DriverSlot, Generation, Probe, RuntimeNumber};
pub(super) use failure::{Failure, was_cut};
pub(super) use hello::ServerFacts;
pub(super) use redact::hide;

use self::call_queue::CallQueue;
use self::sender::Sender;
use super::keys::Keys;
use super::protocol::Publishing;
use super::settings::Settings;
use crate::LockError;
use crate::engine::{InboxId, OwnerToken};
use crate::sync::assert_outside;

/// Whoever makes calls, and hears of their outcome.
pub(super) trait Caller: Send + Sync + 'static {
    /// Why a call was made.
    type CallKind: Send + 'static;

    /// A call has its outcome. Called in the supervisor's task; must not block.
    ///
    /// What was not sent must not be pushed again from here, since it would fail at once again.
    fn answered(self: &Arc<Self>, call: Call<Self::CallKind>, outcome: Reply);

    /// A message came to our inbox.
    fn heard(self: &Arc<Self>, message: &str);

    /// There is a connection again, after there was one before: what was believed may have changed.
    fn reconnected(self: &Arc<Self>);

    /// The link's task has ended with its runtime: another one has to [serve](Connection::serve) the link. Whether another one
    /// will, so that what has been pushed can stay where it is.
    fn abandoned(self: &Arc<Self>, left: Left) -> bool;
}

/// How the link's task has left it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// As far as is known the server can be asked.
    pub(super) within_reach: bool,
    /// The present thread is about to end a runtime, and may be blocked.
    pub(super) may_block: bool,
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Reply {
    /// It ran. Whatever it began, began after `sent`.
    Answered { answer: Value, sent: Instant },
    /// The server answered with an error.
    Refused(LockError),
    /// It has not run, and never will (K3).
    NotSent(LockError),
    /// It may have run, or may run yet.
    Indeterminate { error: LockError },
}

/// A call that was not sent, and is not any more. It has no outcome (K1): that it was withdrawn is known to whoever did it.
/// To be dropped outside every mutex, since somebody may be waiting until all calls have theirs.
#[must_use = "it is to be dropped outside every mutex"]
pub(super) struct Withdrawn<C: Caller> {
    connection: Arc<Connection<C>>,
    _call: Call<C::CallKind>,
}

impl<C: Caller> Drop for Withdrawn<C> {
    fn drop(&mut self) {
        self.connection.one_less();
    }
}

/// The calls under way to one server.
pub(super) struct Connection<C: Caller> {
    settings: Settings,
    keys: Keys,
    inbox: InboxId,
    queue: Mutex<CallQueue<C::CallKind>>,
    /// While there is a connection. Its mutex comes before the queue's.
    channel: Mutex<Option<Sender<C>>>,
    /// Something was pushed, or the link is to end.
    pushed: Notify,
    condition: Mutex<Condition>,
    /// Of the server at the end of the latest connection.
    facts: Mutex<ServerFacts>,
    /// How often a connection was closed, or its server not the right one, and how often another was made.
    changes: AtomicUsize,
    /// Calls without an outcome yet.
    unanswered: AtomicUsize,
    /// The last call without an outcome got one.
    all_answered: Notify,
    driver: Arc<DriverSlot>,
    retired: AtomicBool,
    /// The connection is being given up because the server is silent, and not because it was closed.
    silent: AtomicBool,
    /// There has been a connection, so that the next one is another.
    connected_before: AtomicBool,
}

/// How the connection is.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// Not asked for yet, or being made for the first time.
    Starting,
    Up {
        publishing: Publishing,
    },
    /// It broke just now, and the next one is being made: whoever asks waits for that.
    Broken(Failure),
    /// Out of reach.
    Down(Failure),
}

impl Condition {
    /// Whether it begins, or ends, the time in which a connection is replaced that was not silent.
    fn is_change(&self) -> bool {
        match self {
            Self::Broken(failure) => failure.is_closed() || failure.is_not_here(),
            Self::Up { .. } => true,
            Self::Starting | Self::Down(_) => false,
        }
    }
}

impl<C: Caller> Connection<C> {
    pub(super) fn new(settings: Settings, keys: Keys, inbox: InboxId) -> Self {
        Self {
            settings,
            keys,
            inbox,
            queue: Mutex::new(CallQueue::new()),
            channel: Mutex::new(None),
            pushed: Notify::new(),
            condition: Mutex::new(Condition::Starting),
            facts: Mutex::default(),
            changes: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            all_answered: Notify::new(),
            driver: Arc::default(),
            silent: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            connected_before: AtomicBool::new(false),
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn inbox(&self) -> InboxId {
        self.inbox
    }

    /// Enqueues a call and sends it: [`enqueue`](Self::enqueue), then [`flush`](Self::flush).
    pub(super) fn push(self: &Arc<Self>, call: Call<C::CallKind>) {
        self.enqueue(call);
        self.flush();
    }

    /// Puts a call into the queue, and does nothing else: cheap, and good under any mutex. Calls are sent in the order in
    /// which they were enqueued (K2).
    ///
    /// [`flush`](Self::flush) has to follow, once that mutex is free. The supervisor, or the flush of another caller, may
    /// send the call before that.
    pub(super) fn enqueue(&self, call: Call<C::CallKind>) {
        self.unanswered.fetch_add(1, SeqCst);
        self.queue.lock().push_back(call);
    }

    /// Sees to it that everything that was enqueued is sent, on any thread, inside a runtime or not. If nothing is in
    /// flight and this is the supervisor's runtime, the calls are sent from here, as one batch; that polls the redis
    /// crate's future. Otherwise the supervisor is woken, which sends them.
    ///
    /// No call is left without either: each caller flushes after it has enqueued. If another thread is sending at that
    /// moment, the call may have come too late for its batch; then this wakes the supervisor.
    pub(super) fn flush(self: &Arc<Self>) {
        if let Some(Some(sender)) = self.channel.try_lock().as_deref_mut()
            && sender.send_from_here(self)
        {
            return;
        }
        if self.queue.lock().announce() {
            self.pushed.notify_one();
        }
    }

    /// Takes an acquire of this token back that was not sent yet: nobody needs its answer any more. What is urgent is sent
    /// before acquires, so that a release of the same token would overtake it, and it would then join the queue for a caller
    /// who is gone.
    pub(super) fn withdraw(self: &Arc<Self>, token: OwnerToken) -> Option<Withdrawn<C>> {
        let call = self.queue.lock().remove_acquire(token)?;
        Some(Withdrawn { connection: Arc::clone(self), _call: call })
    }

    /// What was pushed and is not sent yet, for tests that play the server.
    #[cfg(test)]
    pub(super) fn take_pushed(&self) -> impl Iterator<Item = Call<C::CallKind>> {
        self.queue.lock().take(usize::MAX).into_iter()
    }

    /// Sees to it that a task drives the link: in the present runtime, if there is one, whenever the task has ended with
    /// another one. Not under a mutex that an outcome needs: calls get theirs here if the runtime is ending.
    pub(super) fn serve(self: &Arc<Self>, caller: &Arc<C>) {
        if self.driver.is_taken() || self.retired.load(SeqCst) && self.is_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let Some(generation) = self.driver.claim(&runtime) else { return };
        let running = running::Running::new(self, caller, generation);
        runtime.spawn(Driven::new(&self.driver, generation, supervisor::supervise(running)));
    }

    /// Which task drives the link.
    pub(super) fn driver(&self) -> &DriverSlot {
        &self.driver
    }

    /// Takes the link from a driver whose runtime is not run any more. What was in flight over its connection has an
    /// unknown outcome (K1); what was not sent waits for the next driver. `false` if that driver has ended by itself.
    pub(super) fn depose(&self, generation: Generation) -> bool {
        if !self.driver.resign(generation) {
            return false;
        }
        // From here on the old driver changes nothing that it finds (K6).
        let channel = self.channel.lock().take_if(|channel| channel.is_of(generation));
        *self.condition.lock() = Condition::Starting;
        // The old driver may wait for this, never to be polled again, and would keep what is meant for the next one.
        self.pushed.notify_waiters();
        // Not under the mutex: the caller that hears of an outcome may push.
        drop(channel);
        true
    }

    /// Sets the condition, if the driver's term is not over (K6).
    fn set_condition(&self, generation: Generation, new: Condition) {
        let mut condition = self.condition.lock();
        if self.driver.is_current(generation) {
            if new.is_change() {
                self.changes.fetch_add(1, SeqCst);
            }
            *condition = new;
        }
    }

    /// How the connection is.
    pub(super) fn condition(&self) -> Condition {
        self.condition.lock().clone()
    }

    /// What the server said of itself when the latest connection was made.
    pub(super) fn facts(&self) -> ServerFacts {
        self.facts.lock().clone()
    }

    /// Why the server cannot be asked, if that is so.
    pub(super) fn trouble(&self) -> Option<LockError> {
        match &*self.condition.lock() {
            Condition::Down(failure) if !failure.is_not_here() => Some(failure.to_error()),
            _ => None,
        }
    }

    /// How often a connection was closed, or its server not the right one, and how often another was made.
    pub(super) fn changes(&self) -> usize {
        self.changes.load(SeqCst)
    }

    /// Whether a connection is being made in place of one that was closed, or whose server was not the right one; or was
    /// made since there had been so many `changes`. Then a caller was kept from its answer by that.
    pub(super) fn has_changed_since(&self, changes: usize) -> bool {
        let condition = self.condition.lock();
        match &*condition {
            Condition::Broken(_) => condition.is_change(),
            Condition::Down(failure) => failure.is_not_here(),
            Condition::Starting | Condition::Up { .. } => self.changes() != changes,
        }
    }

    /// Why the server's last word is an old one, if that is so: there is no connection on which it could say another.
    pub(super) fn silence(&self) -> Option<LockError> {
        match &*self.condition.lock() {
            Condition::Broken(failure) | Condition::Down(failure) => Some(failure.to_error()),
            Condition::Starting | Condition::Up { .. } => None,
        }
    }

    /// Lets the link end once everything that was pushed has been sent.
    pub(super) fn retire(&self) {
        self.retired.store(true, SeqCst);
        self.pushed.notify_one();
    }

    /// Waits until every call has its outcome.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only looks.
    pub(super) async fn drained(&self) {
        loop {
            let all_answered = self.all_answered.notified();
            if self.unanswered.load(SeqCst) == 0 {
                return;
            }
            all_answered.await;
        }
    }

    /// Whether no call but the one whose outcome is being told is without one.
    pub(super) fn is_telling_the_last(&self) -> bool {
        self.unanswered.load(SeqCst) <= 1
    }

    /// Hands a call and its outcome to the caller (K1).
    fn answer(&self, caller: &Arc<C>, call: Call<C::CallKind>, outcome: Reply) {
        caller.answered(call, outcome);
        self.one_less();
    }

    /// A call is without an outcome no more. Whoever waits for that is woken.
    fn one_less(&self) {
        assert_outside();
        if self.unanswered.fetch_sub(1, SeqCst) == 1 {
            self.all_answered.notify_waiters();
        }
    }

    /// Whether every call has its outcome.
    pub(super) fn is_drained(&self) -> bool {
        self.unanswered.load(SeqCst) == 0
    }

    /// Whether something waits to be sent that frees or keeps a lock.
    pub(super) fn has_urgent(&self) -> bool {
        self.queue.lock().has_urgent()
    }

    /// Takes what has been pushed, up to a number, in the order in which it is to be sent (K2).
    fn take(&self, most: usize) -> Vec<Call<C::CallKind>> {
        self.queue.lock().take(most)
    }

    /// Puts calls back that have not run, before everything that was pushed since.
    fn put_back(&self, calls: Vec<Call<C::CallKind>>) {
        self.queue.lock().put_back(calls);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// How many calls wait to be sent.
    fn waiting(&self) -> usize {
        self.queue.lock().len()
    }
}
