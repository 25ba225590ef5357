//! [`Connection`]: what the callers and the supervisor share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::call_queue::CallQueue;
use super::sender::Sender;
use super::supervisor_guard::SupervisorGuard;
use super::unanswered::Unanswered;
use super::{Call, Caller, Condition, Generation, Reply, ServerFacts, TaskSlot, WatchedTask, Withdrawn, supervisor};
use crate::engine::{InboxId, OwnerToken};
use crate::redis::keys::Keys;
use crate::redis::settings::Settings;
use crate::sync::assert_outside;

/// The calls to one server, and the connection that carries them.
pub(in crate::redis) struct Connection<C: Caller> {
    pub(super) settings: Settings,
    pub(super) keys: Keys,
    pub(super) inbox: InboxId,
    pub(super) queue: Mutex<CallQueue<C::CallKind>>,
    /// While there is a connection. Its mutex is taken before the queue's.
    pub(super) sender: Mutex<Option<Sender<C>>>,
    /// Wakes the supervisor: calls were enqueued, or the connection is to be retired.
    pub(super) wake_supervisor: Notify,
    pub(super) condition: Mutex<Condition>,
    /// Of the server of the latest connection.
    pub(super) facts: Mutex<ServerFacts>,
    /// See [`changes`](Self::changes).
    pub(super) changes: AtomicUsize,
    pub(super) unanswered: Unanswered,
    pub(super) task: Arc<TaskSlot>,
    pub(super) retired: AtomicBool,
    /// The connection is being given up because the server is silent, and not because it was closed.
    pub(super) silent: AtomicBool,
    /// There has been a connection: the next one replaces it.
    pub(super) connected_before: AtomicBool,
}

impl<C: Caller> Connection<C> {
    pub(in crate::redis) fn new(settings: Settings, keys: Keys, inbox: InboxId) -> Self {
        Self {
            settings,
            keys,
            inbox,
            queue: Mutex::new(CallQueue::new()),
            sender: Mutex::new(None),
            wake_supervisor: Notify::new(),
            condition: Mutex::new(Condition::Starting),
            facts: Mutex::default(),
            changes: AtomicUsize::new(0),
            unanswered: Unanswered::default(),
            task: Arc::default(),
            silent: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            connected_before: AtomicBool::new(false),
        }
    }

    pub(in crate::redis) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(in crate::redis) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(in crate::redis) fn inbox(&self) -> InboxId {
        self.inbox
    }

    /// Enqueues a call and sends it: [`enqueue`](Self::enqueue), then [`flush`](Self::flush).
    pub(in crate::redis) fn push(self: &Arc<Self>, call: Call<C::CallKind>) {
        self.enqueue(call);
        self.flush();
    }

    /// Puts a call into the queue, and does nothing else: cheap, and good under any mutex. Calls are sent in the order in
    /// which they were enqueued (K2).
    ///
    /// [`flush`](Self::flush) has to follow, once that mutex is free. The supervisor, or the flush of another caller, may
    /// send the call before that.
    pub(in crate::redis) fn enqueue(&self, call: Call<C::CallKind>) {
        self.unanswered.add_one();
        self.queue.lock().push_back(call);
    }

    /// Sees to it that everything that was enqueued is sent, on any thread, inside a runtime or not. If nothing is in
    /// flight and this is the supervisor's runtime, the calls are sent from here, as one batch; that polls the redis
    /// crate's future. Otherwise the supervisor is woken, which sends them.
    ///
    /// No call is left without either: each caller flushes after it has enqueued. If another thread is sending at that
    /// moment, the call may have come too late for its batch; then this wakes the supervisor.
    pub(in crate::redis) fn flush(self: &Arc<Self>) {
        assert_outside();
        if let Some(Some(sender)) = self.sender.try_lock().as_deref_mut()
            && sender.may_send_here()
        {
            sender.send_queued(self);
        }
        if self.queue.lock().announce() {
            self.wake_supervisor.notify_one();
        }
    }

    /// Takes an acquire of this token back that was not sent yet and whose reply no caller needs any more.
    ///
    /// Left in the queue it would be overtaken by a release of the same token, since releases go first, and would then join
    /// the server's wait queue for a caller that is gone.
    pub(in crate::redis) fn withdraw(self: &Arc<Self>, token: OwnerToken) -> Option<Withdrawn<C>> {
        let call = self.queue.lock().remove_acquire(token)?;
        Some(Withdrawn { connection: Arc::clone(self), _call: call })
    }

    /// Whether no call waits to be sent.
    pub(in crate::redis) fn is_queue_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Whether a call waits to be sent that frees or keeps a lock.
    pub(in crate::redis) fn has_urgent(&self) -> bool {
        self.queue.lock().has_urgent()
    }

    /// The calls that were enqueued and not sent yet, for tests that play the server.
    #[cfg(test)]
    pub(in crate::redis) fn take_queued(&self) -> impl Iterator<Item = Call<C::CallKind>> + use<C> {
        self.queue.lock().take(usize::MAX).into_iter()
    }

    /// Whether the supervisor was woken since this was asked last, for the same tests.
    #[cfg(test)]
    pub(in crate::redis) fn was_woken(&self) -> bool {
        futures_util::FutureExt::now_or_never(self.wake_supervisor.notified()).is_some()
    }

    /// Delivers the reply to a call (K1).
    pub(super) fn answer(&self, caller: &Arc<C>, call: Call<C::CallKind>, reply: Reply) {
        caller.answered(call, reply);
        self.unanswered.remove_one();
    }

    /// Sees to it that a task drives the connection: in the present runtime, if there is one and no task does.
    ///
    /// Not under a mutex that a reply needs: if the runtime is ending, the calls in the queue get their replies here.
    pub(in crate::redis) fn ensure_driven(self: &Arc<Self>, caller: &Arc<C>) {
        if self.task.is_taken() || self.retired.load(SeqCst) && self.is_queue_empty() {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let Some(generation) = self.task.claim(&runtime) else { return };
        let guard = SupervisorGuard::new(self, caller, generation);
        runtime.spawn(WatchedTask::new(&self.task, generation, supervisor::supervise(guard)));
    }

    /// Which task drives the connection.
    pub(in crate::redis) fn task(&self) -> &TaskSlot {
        &self.task
    }

    /// Deposes a supervisor whose runtime is not run any more. What was in flight over its connection is in doubt (K1);
    /// what was not sent waits for the next supervisor. `false` if this one has ended by itself.
    pub(in crate::redis) fn depose(&self, generation: Generation) -> bool {
        if !self.task.resign(generation) {
            return false;
        }
        // From here on the old supervisor changes nothing that it finds (K6).
        let sender = self.sender.lock().take_if(|sender| sender.is_of(generation));
        *self.condition.lock() = Condition::Starting;
        // The old supervisor may be waiting for this. It may never be polled again, and would keep a wake-up that is meant
        // for the next one.
        self.wake_supervisor.notify_waiters();
        // Not under the mutex: this delivers replies, and the caller may flush then.
        drop(sender);
        true
    }

    /// Lets the supervisor end once everything that was enqueued has been sent and answered.
    pub(in crate::redis) fn retire(&self) {
        self.retired.store(true, SeqCst);
        self.wake_supervisor.notify_one();
    }
}
