//! [`WaitingCaller`]: a caller who waits for a lock, and what it finds when it looks.

use std::cell::OnceCell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::LeaseState;
use crate::backend::in_process::{
    DepartedWaiter, Entry, Holder, InProcessLease, QueuePosition, ReleasedHolder, Shard, SharedLease, has_end, term,
    unclaimed_lease,
};
use crate::sync::now;
use crate::{FencingToken, LockOptions};

/// A caller who waits for a lock: its place, and where that is.
///
/// There is no lease yet that it could share.
#[derive(Debug)]
pub(super) struct WaitingCaller {
    pub(super) position: QueuePosition,
    pub(super) shard: Arc<Shard>,
}

/// What a waiter sees when it looks.
#[derive(Debug)]
pub(super) enum Look {
    /// Nothing happens before this time, unless somebody wakes the waiter.
    Wait(Option<Instant>),
    /// The lock is the waiter's, with a lease that nobody else knows.
    InProcess(FencingToken),
    /// The lock is the waiter's, with a lease that has an end.
    Shared(Arc<SharedLease>),
    /// The place is gone: its grant has ended before anybody came for it.
    Again,
    /// The provider is closed.
    Closed,
}

/// What a waiter that leaves knows of the lock.
#[derive(Debug)]
pub(super) struct StillHeld {
    /// What is left of the holder's lease, if it ends by itself.
    pub(super) lease_left: Option<Duration>,
}

impl WaitingCaller {
    /// Takes the lock if it has been granted. Otherwise leaves a waker, replaces a holder that has ended, and says until
    /// when there is nothing to be done.
    ///
    /// `spare` is a clone of the waker, if one is likely to be left: it is made outside the mutex, since that is code of a
    /// user's, and so is its drop.
    pub(super) fn look(
        &self,
        options: &LockOptions,
        waker: &Waker,
        mut spare: Option<Waker>,
        clock: &OnceCell<Instant>,
    ) -> Look {
        loop {
            let (look, wake) = {
                let mut table = self.shard.table.lock();
                if table.is_closed() {
                    return Look::Closed;
                }
                let (entry, wake) = table.replace_expired_holder(&self.position, clock);
                (entry.map_or(Some(Look::Again), |entry| self.look_at(entry, options, waker, &mut spare)), wake)
            };
            wake.wake();
            if let Some(look) = look {
                return look;
            }
            spare = Some(waker.clone());
        }
    }

    /// `None` if a clone of the waker is needed. One that was replaced is in its place afterwards.
    fn look_at(
        &self,
        entry: &mut Entry,
        options: &LockOptions,
        waker: &Waker,
        spare: &mut Option<Waker>,
    ) -> Option<Look> {
        if let Holder::Unclaimed(of, ends) = entry.holder
            && of == self.position.ticket
        {
            return Some(self.take(entry, ends, options));
        }
        let Some(present) = entry.waker_mut(self.position.ticket) else { return Some(Look::Again) };
        if !present.will_wake(waker) {
            std::mem::swap(present, spare.as_mut()?);
        }
        // Only the first waiter minds the end of the holder's lease (M6).
        let ends = if entry.is_first(self.position.ticket) { entry.holder.ends() } else { None };
        Some(Look::Wait(ends))
    }

    /// Takes the lock that has been granted to this place, with a lease that would end at `ends`.
    fn take(&self, entry: &mut Entry, ends: Instant, options: &LockOptions) -> Look {
        if !has_end(options) {
            // From now on it has no end. The clock is not asked: had anybody seen the end, somebody else would have the
            // lock, or its entry would be gone (M3).
            entry.holder = Holder::InProcess(options.configured_ttl());
            return Look::InProcess(entry.fence);
        }
        if now() >= ends {
            return Look::Again;
        }
        // Counted from the grant, with all that it may last beyond the time for coming.
        let since = ends.checked_sub(unclaimed_lease(options)).unwrap_or(ends);
        let state = LeaseState::held(self.position.resource.clone(), entry.fence, term(options, since));
        let lease = self.shard.lease(state, self.position.hash);
        entry.holder = Holder::Shared(Arc::clone(&lease));
        Look::Shared(lease)
    }

    /// Leaves the queue. `None` if the place was not there: the lock has been granted to it, or its grant has ended.
    pub(super) fn leave(&self, now: Instant) -> Option<StillHeld> {
        let (left, ends) = {
            let mut table = self.shard.table.lock();
            let left = table.leave(&self.position);
            (left, table.get(self.position.hash, &self.position.resource).and_then(|entry| entry.holder.ends()))
        };
        left.map(DepartedWaiter::wake)?;
        Some(StillHeld { lease_left: ends.map(|ends| ends.saturating_duration_since(now)) })
    }

    /// Leaves the queue, or hands the lock on if it has been granted meanwhile.
    pub(super) fn give_up(&self) {
        let (left, gone) = {
            let mut table = self.shard.table.lock();
            let left = table.leave(&self.position);
            let gone = if left.is_none() { table.hand_over_unclaimed(&self.position) } else { None };
            (left, gone)
        };
        left.map(DepartedWaiter::wake).or_else(|| gone.map(ReleasedHolder::wake)).unwrap_or_default();
    }

    /// The lease of this place's grant, for its guard.
    pub(super) fn into_lease(self, fence: FencingToken) -> InProcessLease {
        InProcessLease::granted(self.position.resource, fence, self.position.hash, self.shard)
    }
}
