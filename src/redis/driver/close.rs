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
        self.table.handle_each(self, || Event::Close, |_| true);
        let told = async {
            loop {
                self.router.first().drained().await;
                if self.all_cancelled() {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        // What cannot be told by then is told in the background, or ends with its lease.
        _ = timeout(self.settings().close_timeout, told).await;
        self.end_if_told();
    }

    /// Ends the provider's tasks once it is closed and the server has been told everything.
    pub(super) fn end_if_told(&self) {
        if self.is_closed() && self.all_cancelled() && self.router.first().is_drained() {
            self.retire();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::LockError;
    use crate::redis::connection::{Caller, Reply};
    use crate::redis::driver::stage::{CallKind, Stage};

    /// Whatever the last call is, a release that turns out to be in doubt is cancelled after a close as well.
    #[tokio::test(start_paused = true)]
    async fn a_close_that_ends_before_a_reply_keeps_the_timers() {
        let stage = Stage::new();
        let guard = stage.held(&stage.resource);
        stage.driver().close().await;
        assert!(!stage.driver().timers.has_ended(), "the release has no reply");
        let release = stage.call(|kind| matches!(kind, CallKind::LetGo));
        stage.driver().answered(release, Reply::Indeterminate { error: LockError::unavailable("silent") });
        assert!(!stage.driver().all_cancelled() && !stage.driver().timers.has_ended());
        drop(guard);
    }
}
