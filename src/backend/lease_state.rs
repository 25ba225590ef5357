//! [`LeaseState`]: fence, deadline and loss of one lease, the same for every provider.
//!
//! # How it works
//!
//! Whether a lease is held is one number, `ends`: the time at which it ends, or one of four marks (not yet
//! granted, released, lost, no end). Everybody changes it by compare-and-exchange, so that of a renewal, a release and
//! a loss at the same moment exactly one happens; or under a mutex under which everybody does (`in_process`).
//!
//! The invariants, cited by number below:
//!
//! - **L1** A lease is granted once. `PENDING` never comes back.
//! - **L2** What has ended stays ended: nothing leads away from `RELEASED` or `LOST`.
//! - **L3** The clock decides, not a flag that somebody has to set in time. Whoever looks after the end sees
//!   a lost lease, and makes that final (L2) before saying so. Hence a renewal that comes back too late
//!   cannot revive a lease that somebody has been told is lost.
//! - **L4** A watcher that went to sleep is woken by every change that could end the lease before the time
//!   the watcher knows. Watching and waking happen under one mutex; `ends` is written before it is taken.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release as ReleaseOrder};
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::Release;
use super::Term;
use super::packed_time::{LOST, NO_END, PENDING, RELEASED, written};
use super::watchers::{Wakers, Watcher, Watchers};
use crate::sync::{AtomicU64, Mutex, assert_outside, now};
use crate::{FencingToken, Resource};

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseStatus {
    /// Not granted yet.
    Pending,
    /// Ours, until this time unless it is renewed; `None` if it does not end by itself.
    Held(Option<Instant>),
    /// Given back by ourselves.
    Released,
    /// No longer ours, and not by our own release.
    Lost,
}

/// Fence, deadline and loss of one lease.
///
/// A provider makes one for each acquire, tells it of grant, renewal, release and loss, and returns it from
/// [`Lease::state`](super::Lease::state). Guards and handles read it. Whether the lease is held is decided by the clock each
/// time somebody asks, and a lease that was seen to be lost stays lost.
#[derive(Debug)]
pub struct LeaseState {
    pub(super) resource: Resource,
    pub(super) fence: AtomicU64,
    pub(super) ends: AtomicU64,
    pub(super) inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) term: Option<Term>,
    pub(super) watchers: Watchers,
}

/// Set in the fence of a lease that was held when its provider closed. A fence fits a signed number, so that the bit is
/// free: there may be very many leases, and a field would cost each eight bytes.
const CLOSED: u64 = 1 << 63;

impl LeaseState {
    /// A lease that has not been granted yet.
    pub fn pending(resource: Resource) -> Self {
        Self {
            resource,
            fence: AtomicU64::new(0),
            ends: AtomicU64::new(PENDING),
            inner: Mutex::new(Inner { term: None, watchers: Watchers::default() }),
        }
    }

    /// A lease that is granted already.
    pub fn held(resource: Resource, fence: FencingToken, term: Term) -> Self {
        Self {
            resource,
            fence: AtomicU64::new(fence.get()),
            ends: AtomicU64::new(written(term.ends())),
            inner: Mutex::new(Inner { term: Some(term), watchers: Watchers::default() }),
        }
    }

    /// Grants a pending lease. `false` if it was not pending any more (L1), and then nothing was changed.
    pub fn grant(&self, fence: FencingToken, term: Term) -> bool {
        let mut inner = self.inner.lock();
        if self.ends.load(Acquire) != PENDING {
            return false;
        }
        inner.term = Some(term);
        self.fence.store(fence.get(), Relaxed);
        // Publishes the fence: whoever reads a time here reads the fence that belongs to it.
        self.ends.compare_exchange(PENDING, written(term.ends()), ReleaseOrder, Relaxed).is_ok()
    }

    /// Lets a held lease last for `lease` from `from` on, but not beyond its [limit](Term::limit). `false` if
    /// it is not held at `now`, and then nothing was changed, or if the new end has passed at `now`, which is a loss.
    ///
    /// `from` is the time from which the backend certainly counts: with a server, the time before the
    /// command was sent.
    ///
    /// Where the new end is earlier than the known one, or is a loss, this wakes whoever watches the lease: call it outside
    /// every mutex that a release needs.
    pub fn renew(&self, now: Instant, from: Instant, lease: Duration) -> bool {
        let (renewed, wakers) = self.renew_untold(now, from, lease);
        wakers.wake();
        renewed
    }

    /// The same, and leaves it to the caller to wake those who watch, outside every mutex.
    pub(crate) fn renew_untold(&self, now: Instant, from: Instant, lease: Duration) -> (bool, Wakers) {
        let wakers = {
            let mut inner = self.inner.lock();
            let Some(term) = inner.term else { return (false, Wakers::default()) };
            let term = term.restarted(from, lease);
            // The answer came after the new lease's own end: nobody may believe in it.
            if term.ends().is_some_and(|ends| ends <= now) {
                drop(inner);
                return (false, self.lose_untold(now).unwrap_or_default());
            }
            loop {
                let before = self.ends.load(Acquire);
                if !self.held_at(before, || now) {
                    return (false, Wakers::default());
                }
                let ends = written(term.ends());
                if self.ends.compare_exchange(before, ends, ReleaseOrder, Relaxed).is_ok() {
                    inner.term = Some(term);
                    // Only an earlier end than the known one needs a watcher's attention (L4).
                    break (ends < before).then(|| inner.watchers.take());
                }
            }
        };
        (true, wakers.unwrap_or_default())
    }

    /// Ends the lease because it is no longer ours, and wakes whoever watches. `false` if it had ended.
    ///
    /// Call it outside every mutex that a release needs: a waker may run code that drops a guard.
    pub fn lose(&self, now: Instant) -> bool {
        self.lose_untold(now).map(Wakers::wake).is_some()
    }

    /// The same, and leaves it to the caller to wake those who watch, outside every mutex.
    pub(crate) fn lose_untold(&self, now: Instant) -> Option<Wakers> {
        let wakers = {
            let mut inner = self.inner.lock();
            loop {
                let before = self.ends.load(Acquire);
                if matches!(before, RELEASED | LOST) {
                    return None;
                }
                if self.ends.compare_exchange(before, LOST, ReleaseOrder, Relaxed).is_ok() {
                    inner.term = inner.term.map(|term| term.over(now));
                    break inner.watchers.take();
                }
            }
        };
        Some(wakers)
    }

    /// Ends the lease because its provider closes, as [`lose`](Self::lose) does. To guards and handles it is a loss: they
    /// are told of it in the same way. Events and metrics report it as closed, and not as lost. `false` if the lease had
    /// ended.
    pub fn close(&self, now: Instant) -> bool {
        self.mark_closed();
        self.lose(now)
    }

    /// Notes that the lease, if it is held, ends because its provider closes. To be called just before it is lost.
    pub(crate) fn mark_closed(&self) {
        if self.is_held() {
            self.fence.fetch_or(CLOSED, Relaxed);
        }
    }

    /// Whether the lease was lost, and only because its provider closed.
    pub(crate) fn was_closed(&self) -> bool {
        self.fence.load(Relaxed) & CLOSED != 0
    }

    /// Ends the lease because we give it back: [`Release::AlreadyLost`] if it is lost by now.
    #[inline]
    pub fn release(&self) -> Release {
        self.released_by(now)
    }

    /// The same, for whoever has read the clock just now.
    #[cfg(feature = "redis")]
    pub(crate) fn release_at(&self, now: Instant) -> Release {
        self.released_by(|| now)
    }

    #[inline]
    fn released_by(&self, now: impl Fn() -> Instant) -> Release {
        loop {
            let before = self.ends.load(Acquire);
            if before != PENDING && !self.held_at(before, &now) {
                return Release::AlreadyLost;
            }
            if self.ends.compare_exchange(before, RELEASED, ReleaseOrder, Relaxed).is_ok() {
                return Release::Released;
            }
        }
    }

    /// The name of what is locked.
    #[inline]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The lease's fence; 0 before it is granted.
    #[inline]
    pub fn fencing_token(&self) -> FencingToken {
        FencingToken::saturating(self.fence.load(Relaxed) & !CLOSED)
    }

    /// Whether the lock is ours, by the clock.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.held_at(self.ends.load(Acquire), now)
    }

    /// Whether the lease waits for its grant.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.ends.load(Acquire) == PENDING
    }

    /// How the lease stands, by the clock.
    pub fn standing(&self) -> LeaseStatus {
        match self.ends.load(Acquire) {
            PENDING => LeaseStatus::Pending,
            RELEASED => LeaseStatus::Released,
            // Not looked up: a loss in between would give it an end, where its watcher may have no timer.
            NO_END => LeaseStatus::Held(None),
            ends if self.held_at(ends, now) => LeaseStatus::Held(self.ends()),
            _ => match self.ends.load(Acquire) {
                RELEASED => LeaseStatus::Released,
                _ => LeaseStatus::Lost,
            },
        }
    }

    /// The end of the lease as it looks now, also after it. Before the grant it means nothing.
    pub fn expires_at(&self) -> Instant {
        let now = now();
        let mut inner = self.inner.lock();
        inner.term.as_mut().map_or(now, |term| term.look(now))
    }

    /// What is left of the lease; zero if it is not held.
    pub fn remaining(&self) -> Duration {
        if self.is_held() { self.expires_at().saturating_duration_since(now()) } else { Duration::ZERO }
    }

    /// The time at which the lease ends if nobody does anything, or `None` if it does not end by itself.
    pub fn ends(&self) -> Option<Instant> {
        if self.ends.load(Acquire) == NO_END { None } else { self.inner.lock().term.and_then(|term| term.ends()) }
    }

    /// The latest end that the lease may ever have: when it was taken away, if it was.
    pub(crate) fn limit(&self) -> Option<Instant> {
        self.inner.lock().term.and_then(|term| term.limit())
    }

    /// How the lease stands, and whom to wake when that may have changed (L4).
    pub(crate) fn watch(&self, cx: &Context<'_>, watcher: &mut Option<Watcher>) -> LeaseStatus {
        let waker = cx.waker();
        let is_known = self.inner.lock().watchers.has(*watcher, waker);
        if !is_known {
            // Neither cloned nor dropped under the mutex: a waker's vtable is code of a user's.
            assert_outside();
            let waker = waker.clone();
            let replaced = self.inner.lock().watchers.watch(waker, watcher);
            drop(replaced);
        }
        self.standing()
    }

    /// Gives a watcher's place up.
    pub(crate) fn forget(&self, watcher: Watcher) {
        let waker = self.inner.lock().watchers.forget(watcher);
        drop(waker);
    }

    /// Decides by the clock whether a lease with this end is held, and makes a loss final (L3).
    #[inline]
    pub(super) fn held_at(&self, ends: u64, now: impl FnOnce() -> Instant) -> bool {
        match ends {
            PENDING | RELEASED | LOST => false,
            NO_END => true,
            _ => self.lasts_at(ends, now()),
        }
    }

    /// The same for one that ends at a time.
    fn lasts_at(&self, mut ends: u64, now: Instant) -> bool {
        let now = written(Some(now));
        loop {
            if matches!(ends, PENDING | RELEASED | LOST) {
                return false;
            }
            if now < ends {
                return true;
            }
            match self.ends.compare_exchange(ends, LOST, ReleaseOrder, Acquire) {
                Ok(_) => return false,
                // Renewed, released or lost between our look and now: look again.
                Err(changed) => ends = changed,
            }
        }
    }
}
