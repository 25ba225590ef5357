//! [`RedisLease`]: one lease of a lock on Redis.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::runtimes::{RuntimeSlot, Runtimes};
use crate::backend::{BackendId, BoxFuture, Lease, LeaseState, PackedInstant, Releasing};
use crate::engine::{ExtendAnswer, TtlMillis};
use crate::{LockError, LockOptions};

/// What granted a lease, and keeps what belongs to it on the server.
pub(super) trait LeaseOwner: fmt::Debug + Send + Sync + Sized + 'static {
    /// Asks for another end of a lease.
    fn extend(&self, lease: &Arc<RedisLease<Self>>, duration: Duration) -> ExtendAnswer;

    /// Gives a lease back.
    fn release(&self, lease: &Arc<RedisLease<Self>>) -> Releasing;

    /// The runtimes of the guards of its leases.
    fn runtimes(&self) -> &Runtimes;
}

/// The lease of one caller. Several leases can follow each other within one ownership.
///
/// There may be very many leases, so it stores only what renewals need of the options, and the number of its runtime in
/// place of a handle.
pub(super) struct RedisLease<B: LeaseOwner> {
    state: LeaseState,
    backend: Arc<B>,
    /// The length that a renewal sets; `None` if it is not renewed.
    renewal: Option<TtlMillis>,
    /// Until when the name stays taken if it is released before; most have none, which is zero.
    kept_until: AtomicU64,
    /// Zero until a guard has taken the lease: a lease without a guard is not renewed. Then [`TAKEN`], or, if the lease
    /// is to be renewed in a runtime, `TAKEN` + 1 + the slot of that runtime.
    taken: AtomicU32,
}

/// The lease was taken, and its runtime is not known.
const TAKEN: u32 = 1;

impl<B: LeaseOwner> RedisLease<B> {
    /// A lease that counts from `from`.
    pub(super) fn new(state: LeaseState, from: Instant, options: &LockOptions, backend: Arc<B>) -> Arc<Self> {
        let renewal = options.configured_auto_renew().then(|| options.configured_ttl().into());
        let at_least = options.configured_at_least();
        let kept_until = (!at_least.is_zero()).then(|| PackedInstant::from(from).after(at_least).to_bits());
        let kept_until = AtomicU64::new(kept_until.unwrap_or(0));
        Arc::new(Self { state, backend, renewal, kept_until, taken: AtomicU32::new(0) })
    }

    /// Until when the name stays taken if it is released before.
    pub(super) fn kept_until(&self) -> Option<Instant> {
        PackedInstant::from_bits(self.kept_until.load(Relaxed)).map(PackedInstant::instant)
    }

    /// The name does not stay taken: the grant came to nothing.
    pub(super) fn keep_nothing(&self) {
        self.kept_until.store(0, Relaxed);
    }

    /// A guard takes the lease. `false` if it has ended before.
    pub(super) fn take(&self) -> bool {
        let slot = if self.renewal.is_some() { self.backend.runtimes().register() } else { None };
        let taken = slot.map_or(TAKEN, |RuntimeSlot(at)| at.saturating_add(1 + TAKEN));
        if let Some(slot) = runtime_slot(self.taken.swap(taken, Relaxed)) {
            self.backend.runtimes().unregister(slot);
        }
        self.state.is_held()
    }

    /// The length that a renewal sets; `None` if it is not renewed.
    pub(super) fn renewal(&self) -> Option<Duration> {
        self.renewal.map(TtlMillis::get)
    }

    /// Whether a guard has taken it.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Relaxed) != 0
    }

    /// The runtime in which the guard took it. Renewals can continue there if the runtime that drives the provider has
    /// ended.
    pub(super) fn runtime(&self) -> Option<Handle> {
        self.backend.runtimes().get(runtime_slot(self.taken.load(Relaxed))?)
    }
}

/// The runtime slot in a value of [`RedisLease::taken`].
fn runtime_slot(taken: u32) -> Option<RuntimeSlot> {
    taken.checked_sub(1 + TAKEN).map(RuntimeSlot)
}

impl<B: LeaseOwner> Drop for RedisLease<B> {
    fn drop(&mut self) {
        if let Some(slot) = runtime_slot(*self.taken.get_mut()) {
            self.backend.runtimes().unregister(slot);
        }
    }
}

impl<B: LeaseOwner> Lease for RedisLease<B> {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        let answer = self.backend.extend(&self, duration);
        Box::pin(async move {
            match answer {
                ExtendAnswer::Lost => Ok(false),
                // There is no result if the extension was never sent: the lease has ended before, or the provider was
                // dropped or closed, which ended all leases.
                ExtendAnswer::Asked(answered) => match answered.await {
                    Ok(extended) => extended,
                    Err(_) if self.state.is_held() => Err(LockError::Closed),
                    Err(_) => Ok(false),
                },
            }
        })
    }

    fn release(self: Arc<Self>) -> Releasing {
        self.backend.release(&self)
    }

    fn granted_by(&self) -> Option<BackendId> {
        Some(BackendId::of(&*self.backend))
    }
}

impl<B: LeaseOwner> fmt::Debug for RedisLease<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLease").field("state", &self.state).finish_non_exhaustive()
    }
}
