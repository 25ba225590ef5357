//! The link to the server: one connection, shared by everything that a provider does.
//!
//! Whoever has something to ask [pushes](Link::push) a [`Call`], from any thread and under any lock. If nothing is on its
//! way, that sends it. Otherwise one task, the [supervisor](supervisor), gathers what has been pushed into pipelines and
//! sends those. It gives every call its [`Outcome`], and replaces the connection whenever that breaks or falls silent,
//! for as long as the provider lives.
//!
//! What is kept true:
//!
//! - **K1** Every call gets exactly one outcome, also if the task or its runtime ends in between; but for one that was
//!   [withdrawn](Link::withdraw) before it was sent.
//! - **K2** Calls are sent in the order in which they were pushed, those that free or keep a lock before those that
//!   acquire one. What is sent again, since the server has not run it, goes before what was pushed since; of several
//!   pipelines that were on their way at that time the later may go first. Nobody counts on more: what follows from an
//!   outcome is pushed after it.
//! - **K3** A call whose outcome is [`Outcome::NotSent`] has not run and never will. One that may have run, or may
//!   run yet, is [`Outcome::Unknown`].
//! - **K4** Nobody waits for a server that is known to be out of reach: its calls fail at once, with the reason.
//! - **K5** Detecting a dead connection is the supervisor's business, and takes no caller that waits long enough.

mod batch;
mod channel;
mod connect;
mod failure;
mod flying;
mod hello;
mod secrets;
mod supervisor;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use ::redis::Value;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(super) use connect::{made_none, pool};
pub(super) use failure::Failure;
pub(super) use hello::ServerFacts;
pub(super) use secrets::hide;

use self::channel::{Channel, WORTH_SENDING};
use super::keys::Keys;
use super::script::{Command, Publishing};
use super::settings::Settings;
use super::token::{InboxId, Token};
use crate::LockError;
use crate::sync::assert_outside;

/// Whoever makes calls, and hears of their outcome.
pub(super) trait Caller: Send + Sync + 'static {
    /// Why a call was made.
    type Purpose: Send + 'static;

    /// A call has its outcome. Called in the supervisor's task; must not block.
    ///
    /// What was not sent must not be pushed again from here, since it would fail at once again.
    fn answered(self: &Arc<Self>, call: Call<Self::Purpose>, outcome: Outcome);

    /// A message came to our inbox.
    fn heard(self: &Arc<Self>, message: &str);

    /// There is a connection again, after there was one before: what was believed may have changed.
    fn reconnected(self: &Arc<Self>);

    /// The link's task has ended with its runtime: somebody in another one has to [serve](Link::serve) the link.
    fn abandoned(self: &Arc<Self>);
}

/// One call of a script, and what its answer is for.
#[derive(Debug)]
pub(super) struct Call<P> {
    pub(super) command: Command,
    pub(super) purpose: P,
    /// How often the server had forgotten the script.
    forgotten: u8,
}

impl<P> Call<P> {
    pub(super) fn new(command: Command, purpose: P) -> Self {
        Self { command, purpose, forgotten: 0 }
    }
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ran. Whatever it began, began after `sent`.
    Answered { answer: Value, sent: Instant },
    /// The server answered with an error.
    Refused(LockError),
    /// It has not run, and never will (K3).
    NotSent(LockError),
    /// It may have run, or may run yet.
    Unknown { error: LockError },
}

/// A call that was not sent, and is not any more. It has no outcome (K1): that it was withdrawn is known to whoever did it.
/// To be dropped outside every mutex, since somebody may be waiting until all calls have theirs.
#[must_use = "it is to be dropped outside every mutex"]
pub(super) struct Withdrawn<C: Caller> {
    link: Arc<Link<C>>,
    _call: Call<C::Purpose>,
}

impl<C: Caller> Drop for Withdrawn<C> {
    fn drop(&mut self) {
        self.link.one_less();
    }
}

/// The calls under way to one server.
pub(super) struct Link<C: Caller> {
    settings: Settings,
    keys: Keys,
    inbox: InboxId,
    queue: Mutex<Queue<C::Purpose>>,
    /// While there is a connection. Its mutex comes before the queue's.
    channel: Mutex<Option<Channel<C>>>,
    /// Something was pushed, or the link is to end.
    pushed: Notify,
    condition: Mutex<Condition>,
    /// Of the server at the end of the latest connection.
    facts: Mutex<ServerFacts>,
    /// Calls without an outcome yet.
    unanswered: AtomicUsize,
    /// The last call without an outcome got one.
    all_answered: Notify,
    running: AtomicBool,
    retired: AtomicBool,
    /// There has been a connection, so that the next one is another.
    connected_before: AtomicBool,
}

#[derive(Debug)]
struct Queue<P> {
    urgent: VecDeque<Call<P>>,
    acquires: VecDeque<Call<P>>,
}

impl<P> Queue<P> {
    /// A provider that holds very many locks pushes as many renewals now and then. Their room is not kept for the next.
    fn give_back(&mut self) {
        const KEPT: usize = 1024;
        for calls in [&mut self.urgent, &mut self.acquires] {
            if calls.is_empty() && calls.capacity() > KEPT {
                *calls = VecDeque::new();
            }
        }
    }

    fn len(&self) -> usize {
        self.urgent.len() + self.acquires.len()
    }
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

impl<C: Caller> Link<C> {
    pub(super) fn new(settings: Settings, keys: Keys, inbox: InboxId) -> Self {
        Self {
            settings,
            keys,
            inbox,
            queue: Mutex::new(Queue { urgent: VecDeque::new(), acquires: VecDeque::new() }),
            channel: Mutex::new(None),
            pushed: Notify::new(),
            condition: Mutex::new(Condition::Starting),
            facts: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            all_answered: Notify::new(),
            running: AtomicBool::new(false),
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

    /// Asks the server for something. Good on any thread, inside a runtime or not.
    pub(super) fn push(self: &Arc<Self>, call: Call<C::Purpose>) {
        self.unanswered.fetch_add(1, SeqCst);
        let Some(call) = self.send_alone(call) else { return };
        let waiting = {
            let mut queue = self.queue.lock();
            if call.command.is_urgent() { &mut queue.urgent } else { &mut queue.acquires }.push_back(call);
            queue.len()
        };
        if waiting == 1 || waiting == WORTH_SENDING {
            self.pushed.notify_one();
        }
    }

    /// Takes an acquire of this token back that was not sent yet: nobody needs its answer any more. What is urgent is sent
    /// before acquires, so that a release of the same token would overtake it, and it would then join the queue for a caller
    /// who is gone.
    pub(super) fn withdraw(self: &Arc<Self>, token: Token) -> Option<Withdrawn<C>> {
        let mut queue = self.queue.lock();
        let at = queue.acquires.iter().position(|call| call.command.token == token)?;
        let call = queue.acquires.remove(at)?;
        Some(Withdrawn { link: Arc::clone(self), _call: call })
    }

    /// What was pushed and is not sent yet, for tests that play the server.
    #[cfg(test)]
    pub(super) fn take_pushed(&self) -> impl Iterator<Item = Call<C::Purpose>> {
        let mut queue = self.queue.lock();
        let (urgent, acquires) = (std::mem::take(&mut queue.urgent), std::mem::take(&mut queue.acquires));
        urgent.into_iter().chain(acquires)
    }

    /// Sends a call if nothing else is on its way or waits to be; gives it back otherwise.
    fn send_alone(self: &Arc<Self>, call: Call<C::Purpose>) -> Option<Call<C::Purpose>> {
        match self.channel.try_lock().as_deref_mut() {
            Some(Some(channel)) => channel.send_alone(self, call),
            _ => Some(call),
        }
    }

    /// Sees to it that somebody serves the link: in the present runtime, if there is one, whenever the task has ended
    /// with another one. Not under a mutex that an outcome needs: calls get theirs here if the runtime is ending.
    pub(super) fn serve(self: &Arc<Self>, caller: &Arc<C>) {
        if self.running.load(SeqCst) || self.retired.load(SeqCst) && self.is_empty() || Handle::try_current().is_err() {
            return;
        }
        if self.running.swap(true, SeqCst) {
            return;
        }
        tokio::spawn(supervisor::supervise(supervisor::Running::new(self, caller)));
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
            Condition::Down(failure) => Some(failure.to_error()),
            Condition::Starting | Condition::Up { .. } | Condition::Broken(_) => None,
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
    fn answer(&self, caller: &Arc<C>, call: Call<C::Purpose>, outcome: Outcome) {
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

    /// Takes what has been pushed, up to a number, in the order in which it is to be sent (K2).
    fn take(&self, most: usize) -> Vec<Call<C::Purpose>> {
        let mut queue = self.queue.lock();
        let urgent = queue.urgent.len().min(most);
        let acquires = queue.acquires.len().min(most - urgent);
        let mut taken = Vec::with_capacity(urgent + acquires);
        taken.extend(queue.urgent.drain(..urgent));
        taken.extend(queue.acquires.drain(..acquires));
        queue.give_back();
        taken
    }

    /// Puts calls back that have not run, before everything that was pushed since.
    fn put_back(&self, calls: Vec<Call<C::Purpose>>) {
        let mut queue = self.queue.lock();
        for call in calls.into_iter().rev() {
            if call.command.is_urgent() { &mut queue.urgent } else { &mut queue.acquires }.push_front(call);
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// How many calls wait to be sent.
    fn waiting(&self) -> usize {
        self.queue.lock().len()
    }
}
