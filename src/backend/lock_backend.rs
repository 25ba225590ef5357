//! [`LockBackend`]: what grants a lock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Acquired, Acquiring, BoxFuture};
use crate::{LockOptions, Resource};

/// How long an acquire may wait for a lock that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// One attempt, no waiting.
    No,
    /// Until this much time has passed since the call.
    AtMost(Duration),
    /// As long as it takes.
    Forever,
}

impl From<Duration> for Wait {
    /// Zero is [`Wait::No`], [`Duration::MAX`] is [`Wait::Forever`].
    fn from(timeout: Duration) -> Self {
        match timeout {
            Duration::ZERO => Self::No,
            Duration::MAX => Self::Forever,
            timeout => Self::AtMost(timeout),
        }
    }
}

/// Grants locks. What stands behind a [`DistributedLock`](crate::DistributedLock); written by whoever writes
/// a provider.
pub trait LockBackend: fmt::Debug + Send + Sync + 'static {
    /// Acquires the lock on `resource`, or joins the queue for it.
    ///
    /// The options have been validated. The call itself must not block; where the answer is known at once it
    /// is best given as [`Acquiring::ready`], which costs no box.
    ///
    /// # What must hold
    ///
    /// - The answer is `Ok(Some(_))` with a guard of [`LockGuard::new`](crate::LockGuard::new), `Ok(None)` if
    ///   somebody else holds the lock and the wait is over, or an error. `Ok(None)` is an answer of the
    ///   backend: silence is [`LockError::Unavailable`](crate::LockError::Unavailable).
    /// - Waiters are served in the order in which they came. A newcomer does not overtake them.
    /// - At most [`LockOptions::get_max_waiters`] wait in this process; one more gets
    ///   [`LockError::TooManyWaiters`](crate::LockError::TooManyWaiters) if it was ready to wait, and
    ///   `Ok(None)` if it was not.
    /// - A dropped [`Acquiring`] leaves nothing behind: no lock, no place in a queue, no entry in a map. That
    ///   includes one that has been granted the lock and has not been polled since.
    fn acquire(self: Arc<Self>, resource: Resource, options: LockOptions, wait: Wait) -> Acquiring;

    /// The same for a caller who has a place for the answer: one that is known at once is put into `answer`, which was
    /// `Ok(None)` before, and then there is no future. What is put there beside a future is dropped.
    ///
    /// This is what is called for every acquire. Unless a backend says otherwise it asks [`acquire`](Self::acquire),
    /// which is all that most need. One for which nanoseconds count makes the guard where it stays, and names by
    /// reference what it needs no copy of. Then both have to answer alike, and what must hold for `acquire` holds for
    /// both: the future that is returned leaves nothing behind when it is dropped.
    fn acquire_into(
        self: Arc<Self>,
        resource: &Resource,
        options: &LockOptions,
        wait: Wait,
        answer: &mut Acquired,
    ) -> Option<BoxFuture<'static, Acquired>> {
        self.acquire(resource.clone(), *options, wait).into_place(answer)
    }
}
