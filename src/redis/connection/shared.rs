//! [`Shared`]: what the callers, the batches in flight and the supervisor share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst};

use ::redis::RedisError;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::call_queue::CallQueue;
use super::unanswered::Unanswered;
use super::{Call, Caller, Condition, Failure, Node, Reply, ServerFacts, TaskSlot};
use crate::engine::InboxId;
use crate::redis::connection_string::{Server, Servers};
use crate::redis::discovery::cluster::ClusterNodes;
use crate::redis::discovery::sentinels::Sentinels;
use crate::redis::keys::Keys;
use crate::redis::settings::Settings;

/// The calls to one server, and what is known of it. It does not know what they are sent over.
pub(in crate::redis) struct Shared<C: Caller> {
    /// Which of this process's connections it is.
    pub(in crate::redis) number: Node,
    /// The server is a node of a cluster, and there are connections to the others as well.
    pub(super) in_cluster: bool,
    /// One of the slots that the node serves, as far as is known.
    pub(super) slot: AtomicU16,
    pub(super) settings: Settings,
    pub(super) keys: Keys,
    pub(super) inbox: InboxId,
    pub(super) queue: Mutex<CallQueue<C::CallKind>>,
    /// Wakes the supervisor: calls were enqueued, or the connection is to be retired.
    pub(super) wake_supervisor: Notify,
    pub(super) condition: Mutex<Condition>,
    /// Of the server of the latest connection.
    pub(super) facts: Mutex<ServerFacts>,
    /// The server of the latest connection, where it was one of several.
    pub(super) node: Mutex<Option<Server>>,
    pub(super) sentinels: Sentinels,
    pub(super) cluster_nodes: ClusterNodes,
    /// The server is a cluster, whose nodes have connections of their own.
    pub(super) is_cluster: AtomicBool,
    /// See [`changes`](Self::changes).
    pub(super) changes: AtomicUsize,
    /// Over all connections of the process.
    pub(super) unanswered: Arc<Unanswered>,
    pub(super) task: Arc<TaskSlot>,
    pub(super) retired: AtomicBool,
    /// The node of a cluster serves no slot any more.
    pub(super) left: AtomicBool,
    /// The connection is being given up because the server is silent, and not because it was closed.
    pub(super) silent: AtomicBool,
    /// There has been a connection: the next one replaces it.
    pub(super) connected_before: AtomicBool,
}

impl<C: Caller> Shared<C> {
    pub(super) fn new(settings: Settings, keys: Keys, inbox: InboxId) -> Self {
        let is_cluster = matches!(settings.servers, Servers::Cluster(_));
        Self {
            number: Node(0),
            in_cluster: false,
            slot: AtomicU16::new(0),
            settings,
            keys,
            inbox,
            queue: Mutex::new(CallQueue::new()),
            wake_supervisor: Notify::new(),
            condition: Mutex::new(Condition::Starting),
            facts: Mutex::default(),
            node: Mutex::default(),
            sentinels: Sentinels::default(),
            cluster_nodes: ClusterNodes::default(),
            is_cluster: AtomicBool::new(is_cluster),
            changes: AtomicUsize::new(0),
            unanswered: Arc::default(),
            task: Arc::default(),
            silent: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            left: AtomicBool::new(false),
            connected_before: AtomicBool::new(false),
        }
    }

    /// The same for one node of a cluster, whose server is that of these settings.
    pub(super) fn of_node(&self, number: Node, settings: Settings) -> Self {
        Self {
            number,
            in_cluster: true,
            unanswered: Arc::clone(&self.unanswered),
            retired: AtomicBool::new(self.retired.load(SeqCst)),
            // The node is known to exist: it is waited for, and what is asked of it is looked up once it is there.
            connected_before: AtomicBool::new(true),
            ..Self::new(settings, self.keys.clone(), self.inbox)
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

    /// The server of the latest connection, if there has been one.
    pub(in crate::redis) fn node(&self) -> Option<Server> {
        match &self.settings.servers {
            Servers::One(server) => Some(server.clone()),
            Servers::AnyOf(_) | Servers::Sentinel(_) | Servers::Cluster(_) => self.node.lock().clone(),
        }
    }

    /// One of the slots that the node serves, as far as is known.
    pub(super) fn slot(&self) -> u16 {
        self.slot.load(SeqCst)
    }

    /// Notes one of the slots that the node serves.
    pub(in crate::redis) fn set_slot(&self, slot: u16) {
        self.slot.store(slot, SeqCst);
    }

    /// A failure of the server of the latest connection.
    pub(in crate::redis) fn failure(&self, during: &'static str, source: RedisError) -> Failure {
        let failure = Failure::new(&self.settings, during, source);
        match &*self.node.lock() {
            Some(node) => failure.at(node),
            None => failure,
        }
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

    /// Whether the supervisor was woken since this was asked last, for the same tests and for the simulation.
    #[cfg(any(test, feature = "__simulation"))]
    pub(in crate::redis) fn was_woken(&self) -> bool {
        futures_util::FutureExt::now_or_never(self.wake_supervisor.notified()).is_some()
    }

    /// Delivers the reply to a call (K1).
    pub(super) fn answer(&self, caller: &Arc<C>, call: Call<C::CallKind>, reply: Reply) {
        caller.answered(call, reply);
        if self.unanswered.remove_one() {
            caller.drained();
        }
    }

    /// Which task drives the connection.
    pub(in crate::redis) fn task(&self) -> &TaskSlot {
        &self.task
    }
}
