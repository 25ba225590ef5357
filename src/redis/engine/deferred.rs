//! [`Deferred`]: what is left to do once a shard's mutex is free.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::ownership::Ownership;
use super::{Extension, Locks};
use crate::LockError;
use crate::backend::{Lease, Wakers};
use crate::redis::acquire_slot::{AcquireResult, AcquireSlot};
use crate::redis::connection::Withdrawn;
use crate::redis::lease::RedisLease;
use crate::sync::assert_outside;

/// The wakers that a step has to wake, and what it must not drop itself.
///
/// To wake a waker runs code of a user's, and so may the drop of one, or of the last that keeps it: code that may release
/// a lock of the same shard. So a step under a shard's mutex does neither. It leaves both here, and they are done when this
/// is dropped. A [`Shard`](super::table::Shard) has one, and drops it after its mutex, however the step ends.
#[derive(Default)]
pub(super) struct Deferred {
    /// Of callers who have an answer. Most steps have one at most, which needs no allocation.
    first: Option<Waker>,
    more: Vec<Waker>,
    /// Of those who watch leases that were lost, or may end earlier than was known.
    watchers: Vec<Wakers>,
    ended: Vec<Ownership>,
    /// Extensions that were not sent, and what is to be said to those who asked for them.
    extensions: Vec<(Box<Extension>, Result<bool, LockError>)>,
    /// Somebody may be waiting until all calls have their outcome.
    withdrawn: Option<Withdrawn<Locks>>,
}

impl Deferred {
    /// Answers a caller. The answer comes back if the caller is gone.
    pub(super) fn answer(&mut self, waiter: &AcquireSlot, answer: AcquireResult) -> Result<(), AcquireResult> {
        match waiter.answer(answer)? {
            Some(waker) if self.first.is_none() => self.first = Some(waker),
            Some(waker) => self.more.push(waker),
            None => {}
        }
        Ok(())
    }

    /// Answers a caller who may be gone: then nobody needs the answer.
    pub(super) fn tell(&mut self, waiter: &AcquireSlot, answer: AcquireResult) {
        _ = self.answer(waiter, answer);
    }

    /// Ends a lease that is no longer ours.
    pub(super) fn lose(&mut self, lease: &RedisLease, now: Instant) {
        if let Some(watchers) = lease.state().lose_untold(now) {
            self.wake_watchers(watchers);
        }
    }

    /// [`LeaseState::renew`](crate::backend::LeaseState::renew).
    #[must_use]
    pub(super) fn renew(&mut self, lease: &RedisLease, now: Instant, from: Instant, length: Duration) -> bool {
        let (renewed, watchers) = lease.state().renew_untold(now, from, length);
        self.wake_watchers(watchers);
        renewed
    }

    fn wake_watchers(&mut self, watchers: Wakers) {
        if !watchers.is_empty() {
            self.watchers.push(watchers);
        }
    }

    /// Answers an extension that was not sent.
    pub(super) fn extension_answered(&mut self, extension: Box<Extension>, answer: Result<bool, LockError>) {
        self.extensions.push((extension, answer));
    }

    /// Those that waited for another one, of which nothing is known.
    pub(super) fn extensions_failed(&mut self, waiting: VecDeque<Box<Extension>>, error: &LockError) {
        self.extensions.extend(waiting.into_iter().map(|extension| (extension, Err(error.clone()))));
    }

    /// Those that waited for another one, which found that the lock is no longer ours.
    pub(super) fn extensions_refused(&mut self, waiting: VecDeque<Box<Extension>>) {
        self.extensions.extend(waiting.into_iter().map(|extension| (extension, Ok(false))));
    }

    /// A call that was taken back before it was sent. There is one at most in a step.
    pub(super) fn drop_withdrawn(&mut self, withdrawn: Withdrawn<Locks>) {
        self.withdrawn = Some(withdrawn);
    }

    /// A tenure that is over.
    pub(super) fn drop_later(&mut self, ownership: Ownership) {
        // Most have nobody any more who could be told of it.
        if ownership.is_shared() {
            self.ended.push(ownership);
        }
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if let Some(waker) = self.first.take() {
            assert_outside();
            waker.wake();
        }
        self.more.drain(..).for_each(Waker::wake);
        self.watchers.drain(..).for_each(Wakers::wake);
        for (extension, answer) in self.extensions.drain(..) {
            _ = extension.answer.send(answer);
        }
        self.ended.clear();
        drop(self.withdrawn.take());
    }
}
