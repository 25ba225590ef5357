//! [`Sender`]: the connection that works, and what is on its way over it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ::redis::aio::MultiplexedConnection;
use tokio::runtime::{Handle, Id};

use super::batch::{Batch, CompletedBatch, SendMode};
use super::connect::{ReadyConnection, Signals};
use super::driver::Generation;
use super::in_flight::InFlight;
use super::{Call, Caller, Connection};
use crate::redis::protocol::Publishing;

/// How many calls one pipeline has at most. More would make the first of them wait for the last.
const MOST_IN_A_BATCH: usize = 256;

/// How many pipelines are on their way before another has to be worth it, and how many at most. Under load there are few
/// and long ones, which cost the server half of what many short ones do: while it works on one, the next is gathered.
/// What is pushed beyond that waits here and not on the wire, where it would wait behind everything that was sent before:
/// the time of an answer says how the server is, and not how much it was asked, and what is urgent goes out before what
/// was pushed long ago. It goes out once fewer than those few are left, which were all sent before it.
const FEW_FLYING: usize = 3;
const MOST_FLYING: usize = 16;

/// How many calls are worth a pipeline of their own.
pub(super) const WORTH_SENDING: usize = 16;

/// What calls are sent over. Its mutex is held while calls are taken and begun, so that they go out in the order in which
/// they were pushed (K2), and never while anybody is told of an outcome.
///
/// Answers are for the supervisor alone. A caller that flushes while nothing is in flight [sends](Self::send_from_here) by
/// itself, which spares a switch of tasks. That is worth more than it seems: a thread of a tokio runtime runs three tasks
/// that wake each other at once, and leaves the fourth to another thread, which it has to wake
/// (`MAX_LIFO_POLLS_PER_TICK` of tokio 1.54). From an answer to the next command there would be four.
pub(super) struct Sender<C: Caller> {
    caller: Arc<C>,
    connection: MultiplexedConnection,
    publishing: Publishing,
    in_flight: InFlight<CompletedBatch<C>>,
    /// Outcomes are being told, after which this connection may be one that is not to be used any more.
    dispatching: bool,
    /// Those that are told next. Here, and not with the supervisor, so that they are told also if that is never polled
    /// again.
    half_told: Option<CompletedBatch<C>>,
    way: SendMode,
    supervisor: Waker,
    generation: Generation,
    signals: Arc<Signals>,
    /// The supervisor's, in which the time-outs of calls run.
    runtime: Id,
}

impl<C: Caller> Sender<C> {
    pub(super) fn new(
        caller: &Arc<C>,
        connection: &ReadyConnection,
        generation: Generation,
        supervisor: Waker,
    ) -> Self {
        Self {
            caller: Arc::clone(caller),
            connection: connection.shared.clone(),
            publishing: connection.publishing,
            in_flight: InFlight::new(),
            dispatching: false,
            half_told: None,
            way: SendMode::default(),
            supervisor,
            generation,
            signals: Arc::clone(&connection.signals),
            runtime: Handle::current().id(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether it was opened by this driver.
    pub(super) fn is_of(&self, generation: Generation) -> bool {
        self.generation == generation
    }

    /// Keeps outcomes until the supervisor goes on telling them.
    pub(super) fn keep(&mut self, completed: CompletedBatch<C>) {
        self.half_told = Some(completed);
    }

    pub(super) fn take_kept(&mut self) -> Option<CompletedBatch<C>> {
        self.half_told.take()
    }

    /// Sends what was enqueued, as one batch, if nothing is in flight, and the caller is in the supervisor's runtime.
    /// Whether nothing is left in the queue.
    pub(super) fn send_from_here(&mut self, connection: &Arc<Connection<C>>) -> bool {
        let here = Handle::try_current().is_ok_and(|current| current.id() == self.runtime);
        if !here || self.dispatching || !self.is_idle() {
            return false;
        }
        let calls = connection.take(MOST_IN_A_BATCH);
        let all = calls.len() < MOST_IN_A_BATCH;
        if !calls.is_empty() {
            self.begin(connection, calls);
        }
        all
    }

    /// No replies are being dispatched any more. What is sent next is sent in this way.
    pub(super) fn end_dispatch(&mut self, way: SendMode) {
        self.dispatching = false;
        self.way.load |= way.load;
        self.way.apart |= way.apart;
        self.way.by_slot |= way.by_slot;
    }

    /// Sends what was pushed, as far as there is room. Whether it sent anything.
    pub(super) fn send_pushed(&mut self, connection: &Arc<Connection<C>>) -> bool {
        let in_flight = self.in_flight.len();
        if in_flight >= MOST_FLYING || in_flight >= FEW_FLYING && connection.waiting() < WORTH_SENDING {
            return false;
        }
        let calls = connection.take(MOST_IN_A_BATCH);
        let any = !calls.is_empty();
        if any {
            self.begin(connection, calls);
        }
        any
    }

    /// A caller that pushes may hold mutexes that an outcome needs, so that nothing in the first poll of a batch may panic: it
    /// would be told of while they are held. What could is the time-out, in a runtime whose timer is off or has ended; there
    /// is no channel in either, since nobody is granted a lock in the one, and the supervisor has ended before in the other.
    fn begin(&mut self, connection: &Arc<Connection<C>>, calls: Vec<Call<C::CallKind>>) {
        let batch = Batch::new(connection, &self.caller, calls, self.publishing, self.way);
        self.way.load = false;
        let flight = Box::pin(batch.send(self.connection.clone()));
        if self.in_flight.begin(flight, &mut Context::from_waker(&self.supervisor)) {
            self.supervisor.wake_by_ref();
        }
    }

    /// The next batch that has its answers, to be told of before anything else is sent. For the supervisor alone.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<CompletedBatch<C>> {
        let next = self.in_flight.poll_next(cx);
        self.dispatching = next.is_ready();
        next
    }
}

impl<C: Caller> Drop for Sender<C> {
    fn drop(&mut self) {
        // What its connection receives from now on is its successor's business (K6).
        self.signals.end();
    }
}
