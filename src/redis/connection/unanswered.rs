//! [`Unanswered`]: how many calls have no reply yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

use super::shared::Shared;
use super::{Call, Caller};
use crate::sync::assert_outside;

/// Counts the calls without a reply, so that a closing provider can wait until there is none.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    count: AtomicUsize,
    /// The last call without a reply got one.
    all_answered: Notify,
}

impl Unanswered {
    pub(super) fn add_one(&self) {
        self.count.fetch_add(1, SeqCst);
    }

    /// One call less is without a reply. Returns whether it was the last, after waking the tasks that wait for that.
    pub(super) fn remove_one(&self) -> bool {
        assert_outside();
        let was_last = self.count.fetch_sub(1, SeqCst) == 1;
        if was_last {
            self.all_answered.notify_waiters();
        }
        was_last
    }
}

impl<C: Caller> Shared<C> {
    /// Waits until every call has its reply.
    ///
    /// # Cancel safety
    ///
    /// Safe: it only looks.
    pub(in crate::redis) async fn drained(&self) {
        loop {
            // Before the look: a reply that comes between the look and the wait is noticed as well.
            let all_answered = self.unanswered.all_answered.notified();
            if self.is_drained() {
                return;
            }
            all_answered.await;
        }
    }

    /// Whether every call has its reply.
    pub(in crate::redis) fn is_drained(&self) -> bool {
        self.unanswered.count.load(SeqCst) == 0
    }
}

/// A call that was taken back before it was sent. It gets no reply (K1): the caller that withdrew it knows.
///
/// To be dropped outside every mutex: the drop may wake a task that waits until all calls have their reply.
#[must_use = "it is to be dropped outside every mutex"]
pub(in crate::redis) struct Withdrawn<C: Caller> {
    pub(super) shared: Arc<Shared<C>>,
    pub(super) _call: Call<C::CallKind>,
}

impl<C: Caller> Drop for Withdrawn<C> {
    fn drop(&mut self) {
        self.shared.unanswered.remove_one();
    }
}
