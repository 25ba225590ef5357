//! [`LeaseState`]: fencing token, end and loss of one lease, the same for every provider.
//!
//! # How it works
//!
//! Whether a lease is held is one number, `ends`: the time at which it ends, or one of four marks (not yet granted,
//! released, lost, no end). It is changed by compare-and-exchange, so that exactly one of a release and a loss at the
//! same time succeeds, and a renewal only while neither has. The exception is a lease without an end (`in_process`):
//! every change of it happens under one mutex, so that a plain write is enough.
//!
//! The invariants, cited by number below:
//!
//! - **L1** A lease is granted once. `PENDING` never comes back.
//! - **L2** An end is final: `RELEASED` and `LOST` are never left.
//! - **L3** The clock decides whether a lease is held; no task has to set a flag in time. A reader that finds the end
//!   in the past first makes the loss final (L2), and then reports it. So a renewal whose reply comes too late cannot
//!   revive a lease that was reported as lost.
//! - **L4** A watcher that sleeps is woken by every change that could end the lease before the end that the watcher
//!   knows. Watching and waking happen under one mutex; `ends` is written before that mutex is taken.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release as ReleaseOrder};
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;

use super::Release;
use super::Term;
use super::packed_time::{LOST, NO_END, PENDING, RELEASED, packed};
use super::watchers::{Wakers, Watcher, Watchers};
use crate::sync::{AtomicU64, Mutex, assert_outside, now};
use crate::{FencingToken, LockMode, Resource};

/// The status of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseStatus {
    /// Not granted yet.
    Pending,
    /// Held until this time, unless it is renewed. `None` if it does not end by itself.
    Held(Option<Instant>),
    /// Ended by the holder's release.
    Released,
    /// Ended in any other way than by the holder's release.
    Lost,
}

/// Fencing token, end and loss of one lease.
///
/// A provider makes one for each acquire, records grant, renewal, release and loss in it, and returns it from
/// [`Lease::state`](super::Lease::state). Guards and handles read it. Each read decides by the clock whether the lease
/// is held, and a lease that was once read as lost stays lost.
#[derive(Debug)]
pub struct LeaseState {
    pub(super) resource: Resource,
    pub(super) fence: AtomicU64,
    pub(super) ends: AtomicU64,
    pub(super) inner: Mutex<Inner>,
    mode: PackedMode,
    /// The number of the permit, or [`NO_PERMIT`].
    permit: AtomicU32,
}

/// A [`LockMode`] in four bytes: the number of permits, which are neither none nor so many.
#[derive(Debug, Clone, Copy)]
struct PackedMode(u32);

impl PackedMode {
    const EXCLUSIVE: u32 = 0;
    const SHARED: u32 = u32::MAX;

    fn new(mode: LockMode) -> Self {
        Self(match mode {
            LockMode::Exclusive => Self::EXCLUSIVE,
            LockMode::Shared => Self::SHARED,
            LockMode::Permits(n) => n,
        })
    }

    fn get(self) -> LockMode {
        match self.0 {
            Self::EXCLUSIVE => LockMode::Exclusive,
            Self::SHARED => LockMode::Shared,
            n => LockMode::Permits(n),
        }
    }
}

/// No permit has this number: there are at most a million.
const NO_PERMIT: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) term: Option<Term>,
    pub(super) watchers: Watchers,
}

/// Set in the fence of a lease that was held when its provider closed. A fencing token fits a signed number, so this
/// bit is free. A field of its own would cost eight bytes for each lease, and a process may hold very many.
const CLOSED: u64 = 1 << 63;

impl LeaseState {
    /// A lease that has not been granted yet.
    pub fn pending(resource: Resource) -> Self {
        Self {
            resource,
            fence: AtomicU64::new(0),
            ends: AtomicU64::new(PENDING),
            inner: Mutex::new(Inner { term: None, watchers: Watchers::default() }),
            mode: PackedMode::new(LockMode::Exclusive),
            permit: AtomicU32::new(NO_PERMIT),
        }
    }

    /// A lease that is granted already.
    pub fn held(resource: Resource, fence: FencingToken, term: Term) -> Self {
        Self {
            resource,
            fence: AtomicU64::new(fence.get()),
            ends: AtomicU64::new(packed(term.ends())),
            inner: Mutex::new(Inner { term: Some(term), watchers: Watchers::default() }),
            mode: PackedMode::new(LockMode::Exclusive),
            permit: AtomicU32::new(NO_PERMIT),
        }
    }

    /// The same lease, held in this mode. A lease is [`LockMode::Exclusive`] unless its provider says otherwise.
    #[must_use]
    pub fn in_mode(mut self, mode: LockMode) -> Self {
        self.mode = PackedMode::new(mode);
        self
    }

    /// Notes the number of the permit, for a lease in the mode [`LockMode::Permits`]. To be called before the lease is
    /// granted, or before another thread knows it.
    pub fn set_permit(&self, number: u32) {
        self.permit.store(number, Relaxed);
    }

    /// Grants a pending lease. `false` if it was no longer pending (L1): then nothing was changed.
    pub fn grant(&self, fence: FencingToken, term: Term) -> bool {
        let mut inner = self.inner.lock();
        if self.ends.load(Acquire) != PENDING {
            return false;
        }
        inner.term = Some(term);
        self.fence.store(fence.get(), Relaxed);
        // Publishes the fence: a thread that reads a time from `ends` also reads the fence of this grant.
        self.ends.compare_exchange(PENDING, packed(term.ends()), ReleaseOrder, Relaxed).is_ok()
    }

    /// Sets the end of a held lease to `lease` after `from`, but not beyond its [limit](Term::limit).
    ///
    /// `false` if the lease is not held at `now`: then nothing was changed. Also `false` if the new end has passed at
    /// `now`: then the lease is lost.
    ///
    /// `from` is a time that is no later than the one from which the backend counts. With a server it is the time
    /// before the command was sent.
    ///
    /// Wakes the watchers of the lease if it ends earlier than before, or is lost. Call it outside every mutex that a
    /// release needs.
    pub fn renew(&self, now: Instant, from: Instant, lease: Duration) -> bool {
        let (renewed, wakers) = self.renew_without_waking(now, from, lease);
        wakers.wake();
        renewed
    }

    /// As [`renew`](Self::renew), but returns the watchers. The caller wakes them outside every mutex.
    pub(crate) fn renew_without_waking(&self, now: Instant, from: Instant, lease: Duration) -> (bool, Wakers) {
        let wakers = {
            let mut inner = self.inner.lock();
            let Some(term) = inner.term else { return (false, Wakers::default()) };
            let term = term.restarted(from, lease);
            // The reply came after the end of the new lease: it must not be reported as held.
            if term.ends().is_some_and(|ends| ends <= now) {
                drop(inner);
                return (false, self.lose_without_waking(now).unwrap_or_default());
            }
            loop {
                let before = self.ends.load(Acquire);
                if !self.held_at(before, || now) {
                    return (false, Wakers::default());
                }
                let ends = packed(term.ends());
                if self.ends.compare_exchange(before, ends, ReleaseOrder, Relaxed).is_ok() {
                    inner.term = Some(term);
                    // A watcher sleeps until the end that it knows. Only an earlier end has to wake it (L4).
                    break (ends < before).then(|| inner.watchers.take());
                }
            }
        };
        (true, wakers.unwrap_or_default())
    }

    /// Ends the lease as lost, and wakes its watchers. `false` if it had ended before.
    ///
    /// Call it outside every mutex that a release needs: a waker may run code that drops a guard.
    pub fn lose(&self, now: Instant) -> bool {
        self.lose_without_waking(now).map(Wakers::wake).is_some()
    }

    /// As [`lose`](Self::lose), but returns the watchers. The caller wakes them outside every mutex.
    pub(crate) fn lose_without_waking(&self, now: Instant) -> Option<Wakers> {
        let wakers = {
            let mut inner = self.inner.lock();
            loop {
                let before = self.ends.load(Acquire);
                if matches!(before, RELEASED | LOST) {
                    return None;
                }
                if self.ends.compare_exchange(before, LOST, ReleaseOrder, Relaxed).is_ok() {
                    inner.term = inner.term.map(|term| term.ended(now));
                    break inner.watchers.take();
                }
            }
        };
        Some(wakers)
    }

    /// Ends the lease because its provider closes. To guards and handles this is a loss, as with [`lose`](Self::lose).
    /// Events and metrics report it as closed, and not as lost. `false` if the lease had ended before.
    pub fn close(&self, now: Instant) -> bool {
        self.mark_closed();
        self.lose(now)
    }

    /// Marks a held lease as ended by the close of its provider. To be called just before the lease is lost.
    pub(crate) fn mark_closed(&self) {
        if self.is_held() {
            self.fence.fetch_or(CLOSED, Relaxed);
        }
    }

    /// Whether the lease was held when its provider closed.
    pub(crate) fn was_closed(&self) -> bool {
        self.fence.load(Relaxed) & CLOSED != 0
    }

    /// Ends the lease by the holder's release. [`Release::AlreadyLost`] if it was lost before.
    #[inline]
    pub fn release(&self) -> Release {
        self.release_by_clock(now)
    }

    /// As [`release`](Self::release), for a caller that has just read the clock.
    #[cfg(feature = "redis")]
    pub(crate) fn release_at(&self, now: Instant) -> Release {
        self.release_by_clock(|| now)
    }

    #[inline]
    fn release_by_clock(&self, now: impl Fn() -> Instant) -> Release {
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

    /// The resource that is locked.
    #[inline]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The fencing token of the lease; 0 before it is granted.
    #[inline]
    pub fn fencing_token(&self) -> FencingToken {
        FencingToken::saturating(self.fence.load(Relaxed) & !CLOSED)
    }

    /// Who may hold the lock at the same time.
    pub fn mode(&self) -> LockMode {
        self.mode.get()
    }

    /// The number of the permit, which no other holder has meanwhile. `None` in other modes than [`LockMode::Permits`].
    pub fn permit(&self) -> Option<u32> {
        Some(self.permit.load(Relaxed)).filter(|number| *number != NO_PERMIT)
    }

    /// Whether the lock is held, by the clock.
    #[inline]
    pub fn is_held(&self) -> bool {
        self.held_at(self.ends.load(Acquire), now)
    }

    /// Whether the lease waits for its grant.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.ends.load(Acquire) == PENDING
    }

    /// The status of the lease, by the clock.
    pub fn status(&self) -> LeaseStatus {
        match self.ends.load(Acquire) {
            PENDING => LeaseStatus::Pending,
            RELEASED => LeaseStatus::Released,
            // The end is not read from the term: a loss in between would set one, and the watcher may have no timer.
            NO_END => LeaseStatus::Held(None),
            ends if self.held_at(ends, now) => LeaseStatus::Held(self.ends()),
            _ => match self.ends.load(Acquire) {
                RELEASED => LeaseStatus::Released,
                _ => LeaseStatus::Lost,
            },
        }
    }

    /// The old name of [`status`](Self::status).
    #[deprecated(since = "0.2.0", note = "is called `status` now")]
    pub fn standing(&self) -> LeaseStatus {
        self.status()
    }

    /// The present end of the lease, which may be in the past. Meaningless before the grant.
    pub fn expires_at(&self) -> Instant {
        let now = now();
        let mut inner = self.inner.lock();
        inner.term.as_mut().map_or(now, |term| term.begin(now).expires_at(now))
    }

    /// How long the lease still lasts; zero if it is not held.
    pub fn remaining(&self) -> Duration {
        if self.is_held() { self.expires_at().saturating_duration_since(now()) } else { Duration::ZERO }
    }

    /// The time at which the lease ends unless it is renewed or extended. `None` if it does not end by itself.
    pub fn ends(&self) -> Option<Instant> {
        if self.ends.load(Acquire) == NO_END { None } else { self.inner.lock().term.and_then(|term| term.ends()) }
    }

    /// The latest end that the lease can have: its [limit](Term::limit), or the time of its loss.
    pub(crate) fn limit(&self) -> Option<Instant> {
        self.inner.lock().term.and_then(|term| term.limit())
    }

    /// The status of the lease. Leaves the task's waker, to be woken when the lease may end earlier than this status
    /// says (L4).
    pub(crate) fn watch(&self, cx: &Context<'_>, watcher: &mut Option<Watcher>) -> LeaseStatus {
        let waker = cx.waker();
        let is_registered = self.inner.lock().watchers.has(*watcher, waker);
        if !is_registered {
            // Neither cloned nor dropped under the mutex: both run the user's code.
            assert_outside();
            let waker = waker.clone();
            let replaced = self.inner.lock().watchers.watch(waker, watcher);
            drop(replaced);
        }
        self.status()
    }

    /// Removes a watcher.
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

    /// As [`held_at`](Self::held_at), for a lease that ends at a time.
    fn lasts_at(&self, mut ends: u64, now: Instant) -> bool {
        let now = packed(Some(now));
        loop {
            if matches!(ends, PENDING | RELEASED | LOST) {
                return false;
            }
            if now < ends {
                return true;
            }
            match self.ends.compare_exchange(ends, LOST, ReleaseOrder, Acquire) {
                Ok(_) => return false,
                // Renewed, released or lost since `ends` was read: decide again.
                Err(changed) => ends = changed,
            }
        }
    }
}
