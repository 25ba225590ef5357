//! The end of a provider.

use super::context::Context;
use super::host::{Host, Lease};
use super::lock::Lock;
use crate::LockError;

impl<H: Host> Lock<H> {
    /// The provider closes: every wait ends with an error, and every lock is released. Its guard sees that as a loss.
    pub(super) fn close(&mut self, cx: &mut Context<'_, H>) {
        self.fail_waiters(&LockError::Closed, cx);
        if let Some(holder) = self.owned().and_then(|ownership| ownership.holder.as_ref()) {
            holder.state().mark_closed();
            cx.actions.lose(holder, cx.now);
        }
        self.end_ownership(cx);
    }
}
