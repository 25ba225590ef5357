//! [`Work`]: what is left to do once a shard's mutex is free.

use tokio::time::Instant;

use super::Driver;
use crate::engine::{AcquireResult, Actions, CallKind, Command};
use crate::redis::connection::{Call, Withdrawn};
use crate::redis::lease::LeaseOwner;
use crate::sync::assert_outside;
use crate::{Resource, telemetry};

/// What follows from one event or several that were handled under one mutex.
pub(super) struct Work<B: LeaseOwner> {
    pub(super) actions: Actions<Driver<B>>,
    /// Calls were queued, and are to be sent.
    queued: bool,
    /// A call that was taken out of the queue. A caller may be waiting until all calls have their reply.
    withdrawn: Option<Withdrawn<Driver<B>>>,
    /// A resource for which notifications do not arrive.
    unnotified: Option<Resource>,
}

impl<B: LeaseOwner> Default for Work<B> {
    fn default() -> Self {
        Self { actions: Actions::default(), queued: false, withdrawn: None, unnotified: None }
    }
}

impl<B: LeaseOwner> Driver<B> {
    /// Queues the calls that follow from an event, in their order. Under the mutex under which it was handled.
    pub(super) fn queue(&self, resource: &Resource, work: &mut Work<B>) {
        if let Some(token) = work.actions.withdraw.take() {
            work.withdrawn = self.router.withdraw(resource, token);
        }
        if std::mem::take(&mut work.actions.warn_unnotified) {
            work.unnotified = Some(resource.clone());
        }
        for call in work.actions.take_calls() {
            work.queued = true;
            if let CallKind::Cancel { lease, unacknowledged } = &call.kind {
                let (lease, now) = (lease.get(), Instant::now());
                let mut cancellations = self.cancellations.lock();
                cancellations.begin(resource, call.token, lease, *unacknowledged, now);
                cancellations.keep(call.token, call.step.kept_until(now));
            }
            let command = Command { resource: resource.clone(), token: call.token, step: call.step };
            self.router.enqueue(Call::new(command, call.kind));
        }
    }

    /// Does the rest. It may run code of a user, so that no mutex of ours may be held.
    pub(super) fn perform(&self, work: Work<B>) {
        let Work { mut actions, queued, withdrawn, unnotified } = work;
        if queued {
            self.router.flush();
        }
        // Every result is stored before the first waker runs: a waker that panics loses no other caller's.
        let (mut first, mut more, mut returned) = (None, Vec::new(), Vec::new());
        for (waiter, result) in actions.take_answers() {
            match waiter.answer(result) {
                Ok(Some(waker)) if first.is_none() => first = Some(waker),
                Ok(Some(waker)) => more.push(waker),
                Err(AcquireResult::Granted(lease)) => returned.push(lease),
                Ok(None) | Err(AcquireResult::Busy { .. } | AcquireResult::Failed(_)) => {}
            }
        }
        // Their callers have just gone: the next ones have the locks.
        for lease in returned {
            drop(self.release(&lease));
        }
        for waker in first.into_iter().chain(more) {
            assert_outside();
            waker.wake();
        }
        for watchers in actions.watchers.drain(..) {
            watchers.wake();
        }
        for (extension, result) in actions.extensions.drain(..) {
            _ = extension.answer.send(result);
        }
        if let Some(resource) = unnotified {
            telemetry::not_notified(&self.settings().server, &resource);
        }
        // Dropped here: leases that ended, and a call that was withdrawn.
        drop((actions, withdrawn));
    }
}
