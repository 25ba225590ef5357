//! The end of a provider.

use super::context::Context;
use super::host::{Host, Lease};
use super::lock::Lock;
use crate::LockError;

impl<H: Host> Lock<H> {
    /// The provider closes: every wait ends with an error, and every lock is released. Its guard sees that as a loss.
    pub(super) fn close(&mut self, cx: &mut Context<'_, H>) {
        self.fail_all_waiters(&LockError::Closed, cx);
        for ownership in std::mem::take(&mut self.ownerships) {
            let (mut ownership, mut kept) = (ownership, None);
            for holder in ownership.holders.iter() {
                if let Some(until) =
                    holder.kept_until().filter(|until| holder.is_taken() && holder.state().is_held() && *until > cx.now)
                {
                    kept = kept.max(Some(until));
                }
                holder.state().mark_closed();
                cx.actions.lose(holder, cx.now);
            }
            if let Some(until) = kept {
                ownership.keep_until(until);
            }
            Self::let_go(ownership, cx);
        }
    }
}
