//! [`Connection`]: the way of a call to the server.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use parking_lot::Mutex;

use super::sender::Sender;
use super::shared::Shared;
use super::{Call, Caller, Condition, Generation, Node, Withdrawn};
use crate::engine::{InboxId, OwnerToken};
use crate::redis::keys::Keys;
use crate::redis::settings::Settings;
use crate::sync::assert_outside;

/// The calls to one server, and the connection that carries them.
pub(in crate::redis) struct Connection<C: Caller> {
    shared: Arc<Shared<C>>,
    /// While there is a connection. Its mutex is taken before the queue's.
    pub(super) sender: Mutex<Option<Sender<C>>>,
}

impl<C: Caller> Deref for Connection<C> {
    type Target = Arc<Shared<C>>;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

impl<C: Caller> Connection<C> {
    pub(in crate::redis) fn new(settings: Settings, keys: Keys, inbox: InboxId) -> Self {
        Self { shared: Arc::new(Shared::new(settings, keys, inbox)), sender: Mutex::new(None) }
    }

    /// The connection to another node of the same cluster.
    pub(in crate::redis) fn of_node(&self, number: Node, settings: Settings) -> Self {
        Self { shared: Arc::new(self.shared.of_node(number, settings)), sender: Mutex::new(None) }
    }

    /// Takes every call that was not sent, in the order in which they are to be sent.
    pub(in crate::redis) fn take_all(&self) -> Vec<Call<C::CallKind>> {
        self.queue.lock().take(usize::MAX)
    }

    /// Puts calls that have not run into the queue, before all others. [`flush`](Self::flush) has to follow.
    pub(in crate::redis) fn put_back(&self, calls: Vec<Call<C::CallKind>>) {
        self.queue.lock().put_back(calls);
    }

    /// Wakes the supervisor.
    pub(in crate::redis) fn wake(&self) {
        self.wake_supervisor.notify_one();
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
    pub(in crate::redis) fn flush(&self) {
        assert_outside();
        if let Some(Some(sender)) = self.sender.try_lock().as_deref_mut()
            && sender.may_send_here()
        {
            sender.send_queued(&self.shared);
        }
        if self.queue.lock().announce() {
            self.wake_supervisor.notify_one();
        }
    }

    /// Takes an acquire of this token back that was not sent yet and whose reply no caller needs any more.
    ///
    /// Left in the queue it would be overtaken by a release of the same token, since releases go first, and would then join
    /// the server's wait queue for a caller that is gone.
    pub(in crate::redis) fn withdraw(&self, token: OwnerToken) -> Option<Withdrawn<C>> {
        let call = self.queue.lock().remove_acquire(token)?;
        Some(Withdrawn { shared: Arc::clone(&self.shared), _call: call })
    }

    /// Deposes a supervisor whose runtime is not run any more. What was in flight over its connection is in doubt (K1);
    /// what was not sent waits for the next supervisor. `false` if this one has ended by itself.
    pub(in crate::redis) fn depose(&self, generation: Generation) -> bool {
        {
            // In one step: from here on the old supervisor changes nothing that it finds (K6), and what the next one says of
            // its connection stays.
            let mut condition = self.condition.lock();
            if !self.task.resign(generation) {
                return false;
            }
            *condition = Condition::Starting;
        }
        let sender = self.sender.lock().take_if(|sender| sender.generation == generation);
        // The old supervisor may be waiting for this. It may never be polled again, and would keep a wake-up that is meant
        // for the next one.
        self.wake_supervisor.notify_waiters();
        // Not under the mutex: this delivers replies, and the caller may flush then.
        drop(sender);
        true
    }

    /// [Retires](Self::retire) the connection to a node that serves no slot any more. Once it ends, the calls that come back
    /// into its queue go to the nodes that serve their slots now.
    pub(in crate::redis) fn leave(&self) {
        self.left.store(true, SeqCst);
        self.retire();
    }

    /// Lets the supervisor end once everything that was enqueued has been sent and answered.
    pub(in crate::redis) fn retire(&self) {
        self.retired.store(true, SeqCst);
        self.wake_supervisor.notify_one();
    }
}
