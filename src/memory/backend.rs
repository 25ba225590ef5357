//! A shard as a [`LockBackend`]: a lease is granted in the caller's place, or the caller waits.

use std::cell::OnceCell;
use std::sync::Arc;

use tokio::time::Instant;

use super::acquire_future::AcquireFuture;
use super::attempt::{Attempt, Outcome};
use super::waiting_caller::WaitingCaller;
use crate::backend::in_process::{InProcessLease, NameHash, NotGranted, QueuePosition, Shard, is_plain};
use crate::backend::{Acquired, Acquiring, BoxFuture, GrantedLease, LockBackend, WaiterAdmission};
use crate::types::LockRequestRef;
use crate::{LockError, LockOptions, LockRequest};

impl LockBackend for Shard {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        let mut answer = Ok(None);
        match self.acquire_into(request.by_ref(), &mut answer) {
            None => Acquiring::ready(answer),
            Some(waiting) => Acquiring::from(waiting),
        }
    }

    fn acquire_into(
        self: Arc<Self>,
        request: LockRequestRef<'_>,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        let (resource, options) = (request.resource(), request.configured_options());
        let hash = NameHash::of(resource, &self.hasher);
        let attempt =
            Attempt { resource, hash, options, wait: request.configured_wait(), admission: WaiterAdmission::New };
        if !is_plain(options) {
            let clock = OnceCell::new();
            let outcome = self.attempt(attempt, &clock);
            return self.answer_or_wait(outcome, attempt, clock, answer);
        }
        // The lease is written to its place before the mutex is taken, and the grant completes it before the mutex is
        // free. So all stores are done when the caller moves the guard, and its loads do not stall.
        let lease = GrantedLease::in_process_at(answer, InProcessLease::ungranted(resource.clone(), hash, self))?;
        let NotGranted { shard, table } = lease.grant(options.configured_ttl())?;
        let (shard, clock) = (Arc::clone(shard), OnceCell::new());
        let outcome = shard.enter_in_process(table, attempt, &clock);
        shard.answer_or_wait(outcome, attempt, clock, answer)
    }

    /// Locks in every mode.
    fn supports(&self, _: &LockOptions) -> bool {
        true
    }
}

impl Shard {
    /// Writes the result to its place, or returns the future that waits for it.
    #[inline(never)]
    fn answer_or_wait(
        self: Arc<Self>,
        outcome: Result<Outcome, LockError>,
        attempt: Attempt<'_>,
        clock: OnceCell<Instant>,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        let Attempt { resource, hash, options, wait, .. } = attempt;
        let mut waiting: Option<BoxFuture<'static, Acquired>> = None;
        *answer = outcome.map(|outcome| match outcome {
            Outcome::Granted(lease) => Some(lease),
            Outcome::Busy => None,
            Outcome::Queued(ticket) => {
                let position = QueuePosition { resource: resource.clone(), hash, ticket };
                let caller = WaitingCaller { position, shard: self };
                waiting = Some(Box::pin(AcquireFuture::new(caller, *options, wait, clock)));
                None
            }
        });
        waiting
    }
}
