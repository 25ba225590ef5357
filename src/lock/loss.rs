//! [`Lost`]: the signal that a lock was lost.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::backend::{Lease, LeaseStatus, Watcher};
use crate::sync::{Sleep, sleep_until};

/// Resolves when a guard no longer holds its lock: the lease has ended, the backend has reported another owner, or the
/// provider was closed. At once if that has happened already; never because of the guard's own release.
///
/// Returned by [`LockGuard::lost`](crate::LockGuard::lost) and [`LockHandle::lost`](crate::LockHandle::lost).
/// It has its own timer, and so does not depend on a reply of the backend.
///
/// A shutdown is a loss too: [`Locking::close`](crate::Locking::close) releases every lock, and another process may
/// hold it at once. Only logs and metrics distinguish the two: `orchestrix_locking_lost_total` does not count guards
/// that ended by a close, and `orchestrix_locking_closed_total` does.
///
/// # Cancel safety
///
/// It can be dropped and made again at any time. It reads the state of the lease, so no loss is missed.
///
/// # Panics
///
/// Polling panics outside a tokio runtime, or in one without a timer (`enable_time`), if the lease has an end.
#[must_use = "futures do nothing unless polled"]
pub struct Lost {
    lease: Arc<dyn Lease>,
    watcher: Option<Watcher>,
    /// Boxed, so that the signal is `Unpin`. Made only for a lease with an end, so that the signal is small otherwise.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Lost {
    pub(crate) fn new(lease: Arc<dyn Lease>) -> Self {
        Self { lease, watcher: None, timer: None }
    }
}

impl Future for Lost {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let ends = match this.lease.state().watch(cx, &mut this.watcher) {
                LeaseStatus::Lost => return Poll::Ready(()),
                // Before the grant and after the release there is no lock to lose.
                LeaseStatus::Pending | LeaseStatus::Released | LeaseStatus::Held(None) => return Poll::Pending,
                LeaseStatus::Held(Some(ends)) => ends,
            };
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
            if timer.deadline() != ends {
                timer.as_mut().reset(ends);
            }
            ready!(timer.as_mut().poll(cx));
            // The timer has a resolution of a millisecond and may be early by less than one. Then it is set again.
            this.timer = None;
        }
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            self.lease.state().forget(watcher);
        }
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lost").field("resource", self.lease.state().resource()).finish_non_exhaustive()
    }
}
