//! [`Sender`]: the connection that is up, and the batches in flight over it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::redis::aio::MultiplexedConnection;
use tokio::runtime::{Handle, Id};

use super::batch::{Batch, SendMode};
use super::call_queue::WORTH_A_BATCH;
use super::completed_batch::CompletedBatch;
use super::connect::{ReadyConnection, Signals};
use super::in_flight::InFlight;
use super::shared::Shared;
use super::{Caller, Generation};
use crate::redis::protocol::Publishing;

/// How many calls one batch has at most. The first of them waits for the reply to the last.
const MAX_BATCH: usize = 256;

/// While fewer batches than this are in flight, every call is sent at once. Beyond it a batch is sent only if it has
/// [`WORTH_A_BATCH`] calls: under load there are few and long batches, which cost the server half of what many short ones
/// do, since the next is gathered while the server works on those before it.
const FEW_IN_FLIGHT: usize = 3;

/// How many batches are in flight at most. What is enqueued beyond that waits here and not on the wire, where it would wait
/// behind everything that was sent before. So the time of a reply says how the server is and not how many calls were made,
/// and urgent calls overtake older ones.
const MAX_IN_FLIGHT: usize = 16;

/// What calls are sent over. Its mutex is held while calls are taken from the queue and sent, so that they go out in the
/// order in which they were enqueued (K2), and never while a reply is delivered.
///
/// Only the supervisor takes replies. A caller that flushes while nothing is in flight sends by itself, which spares a
/// switch of tasks. That is worth more than it seems: a thread of a tokio runtime runs three tasks that wake each other at
/// once, and leaves the fourth to another thread, which it has to wake (`MAX_LIFO_POLLS_PER_TICK` of tokio 1.54). From a
/// reply to the next call there would be four.
pub(super) struct Sender<C: Caller> {
    caller: Arc<C>,
    connection: MultiplexedConnection,
    publishing: Publishing,
    pub(super) in_flight: InFlight<CompletedBatch<C>>,
    /// Replies are being delivered, and one of them may say that this connection is not to be used any more.
    delivering: bool,
    /// The batch whose other replies are delivered next. It is kept here and not by the supervisor, so that they are
    /// delivered also if the supervisor is never polled again.
    pub(super) undelivered: Option<CompletedBatch<C>>,
    mode: SendMode,
    supervisor: Waker,
    /// Of the supervisor that it belongs to.
    pub(super) generation: Generation,
    signals: Arc<Signals>,
    /// The supervisor's, in which the time-outs of calls run.
    runtime: Id,
}

impl<C: Caller> Sender<C> {
    pub(super) fn new(caller: &Arc<C>, ready: &ReadyConnection, generation: Generation, supervisor: Waker) -> Self {
        Self {
            caller: Arc::clone(caller),
            connection: ready.shared.clone(),
            publishing: ready.publishing,
            in_flight: InFlight::new(),
            delivering: false,
            undelivered: None,
            mode: SendMode::new(ready.one_lock_per_command, ready.in_cluster),
            supervisor,
            generation,
            signals: Arc::clone(&ready.signals),
            runtime: Handle::current().id(),
        }
    }

    /// Whether a caller may send by itself: nothing is in flight, no reply is being delivered, and the caller is in the
    /// supervisor's runtime.
    pub(super) fn may_send_here(&self) -> bool {
        self.in_flight.len() == 0
            && !self.delivering
            && Handle::try_current().is_ok_and(|current| current.id() == self.runtime)
    }

    /// Whether the supervisor may send another batch while so many calls wait.
    pub(super) fn has_room(&self, waiting: usize) -> bool {
        let in_flight = self.in_flight.len();
        in_flight < FEW_IN_FLIGHT || in_flight < MAX_IN_FLIGHT && waiting >= WORTH_A_BATCH
    }

    /// Sends the first calls of the queue as one batch. Returns whether there were any.
    ///
    /// Nothing in the first poll of a batch may panic: that would deliver replies, and the caller may hold mutexes that a
    /// reply needs. What could panic is the time-out of the redis crate, in a runtime whose timer is off or has ended. There
    /// is no sender in either: in the first no connection is made, and in the second the supervisor has ended before.
    pub(super) fn send_queued(&mut self, shared: &Arc<Shared<C>>) -> bool {
        let calls = shared.queue.lock().take(MAX_BATCH);
        if calls.is_empty() {
            return false;
        }
        let batch = Batch::new(shared, &self.caller, calls, self.publishing, self.mode);
        self.mode.load_scripts = false;
        let reply = Box::pin(batch.send(self.connection.clone()));
        if self.in_flight.push(reply, &mut Context::from_waker(&self.supervisor)) {
            self.supervisor.wake_by_ref();
        }
        true
    }

    /// The first batch in flight once it has its replies, which are to be delivered before anything else is sent. For the
    /// supervisor alone.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<CompletedBatch<C>> {
        let next = self.in_flight.poll_next(cx);
        self.delivering = next.is_ready();
        next
    }

    /// The replies of a batch have been delivered. What is sent from now on is sent in this mode as well.
    pub(super) fn end_delivery(&mut self, mode: SendMode) {
        self.delivering = false;
        self.mode.add(mode);
    }
}

impl<C: Caller> Drop for Sender<C> {
    fn drop(&mut self) {
        // What the connection receives from now on is not passed on (K6).
        self.signals.end();
    }
}
