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
/// Returned by [`LockGuard::lost`](crate::LockGuard::lost) and [`LockHandle::lost`](crate::LockHandle::lost), and for the
/// first of several locks by [`LockSetGuard::lost`](crate::LockSetGuard::lost).
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
    /// `None` only for a set that has no lock yet.
    first: Option<LeaseLost>,
    /// Those of the other locks of a set.
    others: Vec<LeaseLost>,
}

/// Resolves when one lease is lost.
struct LeaseLost {
    lease: Arc<dyn Lease>,
    watcher: Option<Watcher>,
    /// Boxed, so that the signal is `Unpin`. Made only for a lease with an end, so that the signal is small otherwise.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Lost {
    pub(crate) fn new(lease: Arc<dyn Lease>) -> Self {
        Self { first: Some(LeaseLost { lease, watcher: None, timer: None }), others: Vec::new() }
    }

    /// Resolves when the first of several locks is lost.
    pub(super) fn of_any(locks: impl Iterator<Item = Self>) -> Self {
        let mut leases = locks.filter_map(|lost| lost.first);
        Self { first: leases.next(), others: leases.collect() }
    }
}

impl Future for Lost {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { first, others } = &mut *self;
        let is_lost = first.iter_mut().chain(others).any(|lease| lease.poll(cx).is_ready());
        if is_lost { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl LeaseLost {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let ends = match self.lease.state().watch(cx, &mut self.watcher) {
                LeaseStatus::Lost => return Poll::Ready(()),
                // Before the grant and after the release there is no lock to lose.
                LeaseStatus::Pending | LeaseStatus::Released | LeaseStatus::Held(None) => return Poll::Pending,
                LeaseStatus::Held(Some(ends)) => ends,
            };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
            if timer.deadline() != ends {
                timer.as_mut().reset(ends);
            }
            ready!(timer.as_mut().poll(cx));
            // The timer has a resolution of a millisecond and may be early by less than one. Then it is set again.
            self.timer = None;
        }
    }
}

impl Drop for LeaseLost {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            self.lease.state().forget(watcher);
        }
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leases = self.first.iter().chain(&self.others);
        f.debug_tuple("Lost").field(&leases.map(|lost| lost.lease.state().resource()).collect::<Vec<_>>()).finish()
    }
}
