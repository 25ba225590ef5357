//! The end of a provider.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::Driver;
use crate::engine::Event;
use crate::redis::lease::LeaseOwner;

impl<B: LeaseOwner> Driver<B> {
    /// Releases every lock and ends every wait, and waits until the server has been told, for as long as the options say.
    ///
    /// # Cancel safety
    ///
    /// The provider is closed at the first poll; what is left to tell the server is told in the background.
    pub(in crate::redis) async fn close(&self) {
        self.closed.store(true, SeqCst);
        // No caller joins any more: each looks at `closed` under the mutex of its shard.
        self.table.handle_each(self, || Event::Close);
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
        if self.is_closed() && self.all_cancelled() && self.connection.is_delivering_last_reply() {
            self.retire();
        }
    }
}
