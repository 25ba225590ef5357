//! [`Open`]: the link's channel while its driver has it open.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::batch::{CompletedBatch, SendMode};
use super::connect::ReadyConnection;
use super::driver::Generation;
use super::running::Running;
use super::sender::Sender;
use super::{Caller, Connection};

/// The link's channel while it is open. Dropped, it is closed, and what was in flight has an unknown outcome.
///
/// Once its driver has been deposed it finds no channel, also if the next driver has opened one meanwhile (K6).
pub(super) struct Open<'a, C: Caller> {
    connection: &'a Arc<Connection<C>>,
    generation: Generation,
}

impl<'a, C: Caller> Open<'a, C> {
    pub(super) async fn new(running: &'a Running<C>, connection: &ReadyConnection) -> Self {
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let Running { connection: shared, caller, generation, .. } = running;
        let new = Sender::new(caller, connection, *generation, waker);
        {
            let mut sender = shared.channel.lock();
            if shared.driver.is_current(*generation) {
                *sender = Some(new);
            }
        }
        Self { connection: shared, generation: *generation }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Sender<C>) -> T) -> Option<T> {
        self.connection.channel.lock().as_mut().filter(|channel| channel.is_of(self.generation)).map(look)
    }

    pub(super) fn send_pushed(&self) -> bool {
        self.with(|channel| channel.send_pushed(self.connection)).unwrap_or(false)
    }

    pub(super) fn end_dispatch(&self, way: SendMode) {
        self.with(|channel| channel.end_dispatch(way));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.with(|channel| channel.is_idle()).unwrap_or(true)
    }

    /// Leaves outcomes with the channel, which tells them if this is never polled again.
    pub(super) fn keep(&self, completed: CompletedBatch<C>) {
        self.with(|channel| channel.keep(completed));
    }

    pub(super) fn take_kept(&self) -> Option<CompletedBatch<C>> {
        self.with(Sender::take_kept).flatten()
    }

    /// The next batch that has its answers. Waits for ever while nothing is in flight.
    ///
    /// # Cancel safety
    ///
    /// Safe: what has not come out stays.
    pub(super) async fn next(&self) -> CompletedBatch<C> {
        poll_fn(|cx| self.with(|channel| channel.poll_next(cx)).unwrap_or(Poll::Pending)).await
    }

    /// Closes the channel if the link is retired and everything is answered, so that nothing is sent afterwards.
    pub(super) fn close_if(&self, is_over: impl FnOnce() -> bool) -> bool {
        let mut channel = self.connection.channel.lock();
        let closed = channel.take_if(|channel| channel.is_of(self.generation) && channel.is_idle() && is_over());
        drop(channel);
        closed.is_some()
    }
}

impl<C: Caller> Drop for Open<'_, C> {
    fn drop(&mut self) {
        let closed = self.connection.channel.lock().take_if(|channel| channel.is_of(self.generation));
        // Not under the mutex: the caller that hears of an outcome may push.
        drop(closed);
    }
}
