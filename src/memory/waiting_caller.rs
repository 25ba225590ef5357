//! [`WaitingCaller`]: a caller that waits for a lock.

use std::cell::OnceCell;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use crate::backend::in_process::{
    Entry, Grant, Holder, InProcessLease, QueuePosition, Shard, SharedLease, has_end, is_plain, unclaimed_lease,
};
use crate::sync::now;
use crate::{FencingToken, LockOptions};

/// A caller that waits for a lock: its position in the wait queue, and the shard of that queue.
#[derive(Debug)]
pub(super) struct WaitingCaller {
    pub(super) position: QueuePosition,
    pub(super) shard: Arc<Shard>,
}

/// What a waiter finds when it checks its position.
#[derive(Debug)]
pub(super) enum WaitStatus {
    /// It has to wait. `Some`: it has to check again at this time, unless it is woken before.
    Wait(Option<Instant>),
    /// It has claimed the lock, with a lease that only its guard will refer to.
    InProcess(FencingToken),
    /// It has claimed the lock, with a lease that its guard shares with the table.
    Shared(Arc<SharedLease>),
    /// It was granted the lock, and the grant expired before the claim.
    Expired,
    /// The provider is closed.
    Closed,
}

/// The lock at the time when a waiter leaves its queue.
#[derive(Debug)]
pub(super) struct StillHeld {
    /// How long it takes until a holder's lease ends. `None` if none ends by itself.
    pub(super) lease_left: Option<Duration>,
}

impl WaitingCaller {
    /// Claims the lock if it was granted. Otherwise leaves a waker, and returns when to check again. Replaces holders
    /// whose leases have ended.
    ///
    /// `new_waker` is a clone of `waker`, if the caller expects that it is needed. It is made outside the mutex, since
    /// cloning and dropping a waker run the user's code.
    pub(super) fn check(
        &self,
        options: &LockOptions,
        waker: &Waker,
        mut new_waker: Option<Waker>,
        clock: &OnceCell<Instant>,
    ) -> WaitStatus {
        loop {
            let (status, wake) = {
                let mut table = self.shard.table.lock();
                if table.is_closed() {
                    return WaitStatus::Closed;
                }
                let (entry, wake) = table.replace_expired_holders(&self.position, clock);
                let status = match entry {
                    Some(entry) => self.check_entry(entry, options, waker, &mut new_waker),
                    None => Some(WaitStatus::Expired),
                };
                (status, wake)
            };
            wake.wake();
            if let Some(status) = status {
                return status;
            }
            new_waker = Some(waker.clone());
        }
    }

    /// As [`check`](Self::check), under the mutex. `None` if `new_waker` is needed and is `None`. The waker that it
    /// replaces is returned in `new_waker`.
    fn check_entry(
        &self,
        entry: &mut Entry,
        options: &LockOptions,
        waker: &Waker,
        new_waker: &mut Option<Waker>,
    ) -> Option<WaitStatus> {
        if let Some((grant, ends)) = entry.unclaimed_by(self.position.ticket) {
            return Some(self.claim(entry, grant, ends, options));
        }
        let Some(present) = entry.waker_mut(self.position.ticket) else { return Some(WaitStatus::Expired) };
        if !present.will_wake(waker) {
            std::mem::swap(present, new_waker.as_mut()?);
        }
        // Only the first waiter has to know when a holder's lease ends (M6).
        let ends = if entry.is_first(self.position.ticket) { entry.holders.ends() } else { None };
        Some(WaitStatus::Wait(ends))
    }

    /// Claims the lock that was granted to this position, with a grant that ends at `ends`.
    fn claim(&self, entry: &mut Entry, grant: Grant, ends: Instant, options: &LockOptions) -> WaitStatus {
        // A lease that renews itself has no end from now on. The clock is not read: if another caller had found that the
        // grant has ended, the grant would not be there any more (M3).
        if is_plain(options) {
            entry.claim(self.position.ticket, Holder::InProcess(options.configured_ttl()));
            return WaitStatus::InProcess(grant.fence);
        }
        if has_end(options) && now() >= ends {
            return WaitStatus::Expired;
        }
        // The term counts from the grant, and may last longer than an unclaimed grant.
        let since = ends.checked_sub(unclaimed_lease(options)).unwrap_or(ends);
        let QueuePosition { resource, hash, ticket } = &self.position;
        let lease = self.shard.lease_of(grant, resource, *hash, options, since);
        entry.claim(*ticket, Holder::Shared(Arc::clone(&lease)));
        WaitStatus::Shared(lease)
    }

    /// Leaves the queue. `None` if the caller was not in it: it was granted the lock, or its grant has ended.
    pub(super) fn leave(&self, now: Instant) -> Option<StillHeld> {
        let (departed, ends) = {
            let mut table = self.shard.table.lock();
            let departed = table.leave(&self.position);
            (departed, table.get(self.position.hash, &self.position.resource).and_then(|entry| entry.holders.ends()))
        };
        departed?.wake();
        Some(StillHeld { lease_left: ends.map(|ends| ends.saturating_duration_since(now)) })
    }

    /// Leaves the queue, or hands the lock over if it was granted meanwhile.
    pub(super) fn give_up(&self) {
        let (departed, released) = {
            let mut table = self.shard.table.lock();
            let departed = table.leave(&self.position);
            let released = if departed.is_none() { table.hand_over_unclaimed(&self.position) } else { None };
            (departed, released)
        };
        if let Some(departed) = departed {
            departed.wake();
        } else if let Some(released) = released {
            released.wake();
        }
    }

    /// The claimed lease, for the guard.
    pub(super) fn into_lease(self, fence: FencingToken) -> InProcessLease {
        InProcessLease::granted(self.position.resource, fence, self.position.hash, self.shard)
    }
}
