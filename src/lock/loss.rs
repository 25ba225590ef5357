//! [`Lost`]: the signal that a guard no longer holds its lock.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::backend::{Lease, LeaseStatus, Watcher};
use crate::sync::{Sleep, sleep_until};

/// Resolves when a guard no longer holds its lock: the lease ended, the lock was taken away on the backend, or the
/// provider was closed. At once if that is so already; never because of the guard's own release.
///
/// Returned by [`LockGuard::lost`](crate::LockGuard::lost) and [`LockHandle::lost`](crate::LockHandle::lost).
/// It has its own timer, and so does not depend on the backend's answer.
///
/// A shutdown is a loss to the work under the lock: [`Locking::close`](crate::Locking::close) frees every lock, and another
/// process may hold it at once. Only logs and metrics tell the two apart: `orchestrix_locking_lost_total` does not count
/// the guards that ended by closing, and `orchestrix_locking_closed_total` does.
///
/// # Cancel safety
///
/// It can be dropped and made anew at any time: nothing is missed, since it looks at the lease and not at an
/// event.
///
/// # Panics
///
/// Polling panics outside a tokio runtime, or inside one without a timer, if the lease has an end to wait for.
#[must_use = "futures do nothing unless polled"]
pub struct Lost {
    lease: Arc<dyn Lease>,
    watcher: Option<Watcher>,
    /// Boxed, and made only for a lease with an end: so the signal is `Unpin`, and small where no timer is needed.
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
                // Before the grant there is nothing to lose, after our own release neither.
                LeaseStatus::Pending | LeaseStatus::Released | LeaseStatus::Held(None) => return Poll::Pending,
                LeaseStatus::Held(Some(ends)) => ends,
            };
            let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
            if timer.deadline() != ends {
                timer.as_mut().reset(ends);
            }
            ready!(timer.as_mut().poll(cx));
            // The timer counts in milliseconds and may be early by the part of one. Then it is set anew.
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
