//! [`Context`]: what an event is handled in.

use tokio::time::Instant;

use super::action::Actions;
use super::command::OnServerFailure;
use super::host::Host;
use crate::Resource;

/// What an event is handled in.
pub(crate) struct Context<'a, H: Host> {
    pub(crate) host: &'a H,
    pub(crate) resource: &'a Resource,
    /// The time, read once under the mutex. Where it is used it is a moment old, which is the safe side for everything that
    /// begins then (R2).
    pub(crate) now: Instant,
    pub(crate) actions: &'a mut Actions<H>,
    /// The number of the next caller. It rises under the mutex, so that a caller with a lower one came first.
    next_ticket: &'a mut u64,
    /// What becomes of a request that begins at the end of this event and that the server does not answer.
    pub(super) on_failure: OnServerFailure,
}

impl<'a, H: Host> Context<'a, H> {
    pub(crate) fn new(
        host: &'a H,
        resource: &'a Resource,
        now: Instant,
        next_ticket: &'a mut u64,
        actions: &'a mut Actions<H>,
    ) -> Self {
        Self { host, resource, now, actions, next_ticket, on_failure: OnServerFailure::Retry }
    }

    /// The number of a caller that has just come.
    pub(super) fn ticket(&mut self) -> u64 {
        let ticket = *self.next_ticket;
        *self.next_ticket += 1;
        ticket
    }
}
