//! A guard gives its lock back: to the next caller of this process, or to the server.

use tokio::sync::oneshot;

use super::command::CallKind;
use super::context::Context;
use super::event::ReleaseAnswer;
use super::grant::Grantees;
use super::host::{Host, Lease, Waiter};
use super::lock::Lock;
use crate::LockMode;
use crate::backend::Release;

impl<H: Host> Lock<H> {
    /// A guard is done with its lease.
    pub(super) fn release(&mut self, lease: &H::Lease, cx: &mut Context<'_, H>) -> ReleaseAnswer {
        let released = lease.state().release_at(cx.now);
        let next_here = self.waiters.first().map(|next| next.options().configured_mode());
        let Some(ownership) = self.ownership_held_by(lease) else { return ReleaseAnswer::Known(released) };
        let (secret, mode) = (ownership.secret(), ownership.mode());
        if let Some(holder) = ownership.holders.take(|holder| holder.is(lease)) {
            cx.actions.drop_leases(vec![holder]);
        }
        // A lease that no caller has taken up keeps nothing: its acquire was cancelled.
        if released == Release::Released
            && lease.is_taken()
            && let Some(until) = lease.kept_until().filter(|until| *until > cx.now)
        {
            ownership.keep_until(until);
        }
        if ownership.is_held() {
            // Other readers of this process share the ownership.
            return ReleaseAnswer::Known(released);
        }
        if released == Release::AlreadyLost {
            self.end_ownership(secret, cx);
            return ReleaseAnswer::Known(Release::AlreadyLost);
        }
        // Each permit is to have a higher fencing token than those before, and so is granted by the server. The same holds
        // for readers, who would otherwise have joined; and for a name that stays taken.
        let is_handed_on =
            mode == LockMode::Exclusive && next_here == Some(mode) && ownership.kept_for(cx.now).is_none();
        if is_handed_on && ownership.may_hand_over(cx.now) {
            ownership.next_holder();
            if !self.grant_next(secret, Grantees { before: None, is_fresh: false, at_least: None, permit: None }, cx) {
                self.end_ownership(secret, cx);
            }
            return ReleaseAnswer::Known(Release::Released);
        }
        let (answer, answered) = oneshot::channel();
        if let Some(ownership) = self.take_ownership(secret) {
            Self::free(ownership, CallKind::Release(answer), cx);
        }
        // What the callers that wait here ask for next is queued behind the release, on the same connection: waiters of
        // other processes come first.
        ReleaseAnswer::Asked(answered)
    }
}
