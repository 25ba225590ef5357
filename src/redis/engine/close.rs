//! The end of a provider.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::Locks;
use super::acquire::fail_waiters;
use crate::LockError;
use crate::backend::Lease;

impl Locks {
    /// Lets every lock go and ends every wait, and waits until the server has been told, for as long as the options
    /// say.
    ///
    /// # Cancel safety
    ///
    /// The provider is closed at the first poll; what is left to tell the server is told in the background.
    pub(in crate::redis) async fn close(&self) {
        self.closed.store(true, SeqCst);
        // Nobody joins any more. Who is granted a lock from now on gives it back.
        for resource in self.table.resources() {
            let mut shard = self.shard(&resource);
            if let Some((entry, after)) = shard.find(&resource) {
                fail_waiters(entry, &LockError::Closed, after);
                if let Some(holder) = entry.ownership.as_ref().and_then(|ownership| ownership.holder.as_ref()) {
                    holder.state().mark_closed();
                    after.lose(holder, Instant::now());
                }
                self.end_ownership(&resource, entry, after);
                self.clean_up_entry(&resource, &mut shard);
            }
        }
        let told = async {
            loop {
                self.connection.drained().await;
                if self.all_cancelled() {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        // What cannot be told by then is told in the background, or ends with its lease.
        _ = timeout(self.connection.settings().close_timeout, told).await;
        self.end_if_told();
    }

    /// Ends the provider's tasks once it is closed and the server has been told everything.
    pub(super) fn end_if_told(&self) {
        if self.is_closed() && self.all_cancelled() && self.connection.is_telling_the_last() {
            self.retire();
        }
    }
}
