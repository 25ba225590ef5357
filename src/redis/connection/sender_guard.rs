//! [`SenderGuard`]: the supervisor's hold of the sender.

use std::future::poll_fn;
use std::task::Poll;

use super::batch::SendMode;
use super::completed_batch::CompletedBatch;
use super::connect::ReadyConnection;
use super::sender::Sender;
use super::supervisor_guard::SupervisorGuard;
use super::{Caller, Connection, Generation};

/// The sender while its connection is up. When it is dropped the sender is closed, and what was in flight is in doubt.
///
/// Once its supervisor has been deposed it finds no sender, also if the next supervisor has opened one meanwhile (K6).
pub(super) struct SenderGuard<'a, C: Caller> {
    connection: &'a Connection<C>,
    generation: Generation,
}

impl<'a, C: Caller> SenderGuard<'a, C> {
    pub(super) async fn open(guard: &'a SupervisorGuard<C>, ready: &ReadyConnection) -> Self {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let SupervisorGuard { connection, caller, generation, .. } = guard;
        let new = Sender::new(caller, ready, *generation, waker);
        let mut sender = connection.sender.lock();
        let unused = if connection.task.is_current(*generation) { sender.replace(new) } else { Some(new) };
        drop(sender);
        // Not under the mutex: that of a deposed supervisor, which delivers replies here.
        drop(unused);
        Self { connection, generation: *generation }
    }

    /// The hold of a sender that is open already.
    #[cfg(test)]
    pub(super) fn of(connection: &'a Connection<C>, generation: Generation) -> Self {
        Self { connection, generation }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Sender<C>) -> T) -> Option<T> {
        self.connection.sender.lock().as_mut().filter(|sender| sender.generation == self.generation).map(look)
    }

    /// Sends one batch of what was enqueued, if there is room for another. Returns whether it did.
    pub(super) fn send_queued(&self) -> bool {
        let send = |sender: &mut Sender<C>| {
            let waiting = self.connection.queue.lock().len();
            sender.has_room(waiting) && sender.send_queued(self.connection)
        };
        self.with(send).unwrap_or(false)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.with(|sender| sender.in_flight.len() == 0).unwrap_or(true)
    }

    /// The next batch that has its replies. Waits for ever while nothing is in flight.
    ///
    /// # Cancel safety
    ///
    /// Safe: a batch that has not come out stays in flight.
    pub(super) async fn next_completed(&self) -> CompletedBatch<C> {
        poll_fn(|cx| self.with(|sender| sender.poll_next(cx)).unwrap_or(Poll::Pending)).await
    }

    pub(super) fn end_delivery(&self, mode: SendMode) {
        self.with(|sender| sender.end_delivery(mode));
    }

    /// Leaves a batch with the sender, which delivers its replies if this task is never polled again.
    pub(super) fn keep_undelivered(&self, completed: CompletedBatch<C>) {
        let mut completed = Some(completed);
        self.with(|sender| sender.undelivered = completed.take());
        // Deposed meanwhile: the replies are delivered here, not under the mutex.
        drop(completed);
    }

    pub(super) fn take_undelivered(&self) -> Option<CompletedBatch<C>> {
        self.with(|sender| sender.undelivered.take()).flatten()
    }

    /// Closes the sender if nothing is in flight and this says that nothing is left to be sent, in one step: afterwards
    /// nothing is sent. Returns whether it did.
    pub(super) fn close_if(&self, nothing_left: impl FnOnce() -> bool) -> bool {
        let is_done = |sender: &mut Sender<C>| {
            sender.generation == self.generation && sender.in_flight.len() == 0 && nothing_left()
        };
        let closed = self.connection.sender.lock().take_if(is_done);
        closed.is_some()
    }
}

impl<C: Caller> Drop for SenderGuard<'_, C> {
    fn drop(&mut self) {
        let closed = self.connection.sender.lock().take_if(|sender| sender.generation == self.generation);
        // Not under the mutex: this delivers replies, and the caller may flush then.
        drop(closed);
    }
}
