//! A guard gives its lock back: to the next caller of this process, or to the server.

use tokio::sync::oneshot;

use super::command::CallKind;
use super::context::Context;
use super::event::ReleaseAnswer;
use super::host::{Host, Lease};
use super::lock::{Lock, State};
use crate::backend::Release;

impl<H: Host> Lock<H> {
    /// A guard is done with its lease.
    pub(super) fn release(&mut self, lease: &H::Lease, cx: &mut Context<'_, H>) -> ReleaseAnswer {
        let released = lease.state().release_at(cx.now);
        let others_here = !self.waiters.is_empty();
        let Some(ownership) = self.ownership_held_by(lease) else { return ReleaseAnswer::Known(released) };
        if released == Release::AlreadyLost {
            self.end_ownership(cx);
            return ReleaseAnswer::Known(Release::AlreadyLost);
        }
        ownership.holder = None;
        if others_here && ownership.may_hand_over(cx.now) {
            ownership.next_holder();
            if !self.grant_next(None, false, cx) {
                self.end_ownership(cx);
            }
            return ReleaseAnswer::Known(Release::Released);
        }
        let (answer, answered) = oneshot::channel();
        if let Some(ownership) = self.take_ownership() {
            Self::free(ownership, CallKind::Release(answer), cx);
        }
        // What the callers that wait here ask for next is queued behind the release, on the same connection: waiters of
        // other processes come first.
        debug_assert!(!matches!(self.state, State::Owned(_)));
        ReleaseAnswer::Asked(answered)
    }
}
