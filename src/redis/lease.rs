//! [`RedisLease`]: one lock that is held.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::runtimes::{Place, Runtimes};
use crate::backend::{BackendId, BoxFuture, Lease, LeaseState, Releasing, Term};
use crate::engine::{ExtendAnswer, TtlMillis};
use crate::{FencingToken, LockError, LockOptions, Resource};

/// What granted a lease, and keeps what belongs to it on the server.
pub(super) trait LeaseOwner: fmt::Debug + Send + Sync + Sized + 'static {
    /// Asks for another end of a lease.
    fn extend(&self, lease: &Arc<RedisLease<Self>>, duration: Duration) -> ExtendAnswer;

    /// Gives a lease back.
    fn release(&self, lease: &Arc<RedisLease<Self>>) -> Releasing;

    /// The runtimes of the guards of its leases.
    fn runtimes(&self) -> &Runtimes;
}

/// One hold of a lock, by one caller. Several may follow each other within one tenure on the server.
///
/// Of its options it keeps what renewals need, and of its runtime the place among the provider's: there may be very
/// many leases.
pub(super) struct RedisLease<B: LeaseOwner> {
    state: LeaseState,
    backend: Arc<B>,
    /// The length that renewals give it; `None` if it is not renewed.
    renewal: Option<TtlMillis>,
    /// Whether a guard has come for it: nothing renews a lease for which nobody came. And where, if it is to be renewed:
    /// `TAKEN`, and more than that by the place among the runtimes counted from one.
    taken: AtomicU32,
}

const TAKEN: u32 = 1;

impl<B: LeaseOwner> RedisLease<B> {
    /// A lease of `length` from `from` on.
    pub(super) fn new(
        resource: Resource,
        fence: FencingToken,
        from: Instant,
        length: Duration,
        options: LockOptions,
        backend: Arc<B>,
    ) -> Arc<Self> {
        let term = Term::new(from, length).max_hold(options.configured_max_hold());
        let state = LeaseState::held(resource, fence, term);
        let renewal = options.configured_auto_renew().then(|| options.configured_ttl().into());
        Arc::new(Self { state, backend, renewal, taken: AtomicU32::new(0) })
    }

    /// A guard comes for it. `false` if it has ended before.
    pub(super) fn take(&self) -> bool {
        let place = if self.renewal.is_some() { self.backend.runtimes().enter() } else { None };
        let taken = place.map_or(TAKEN, |Place(at)| at.saturating_add(1 + TAKEN));
        if let Some(place) = runtime_of(self.taken.swap(taken, Relaxed)) {
            self.backend.runtimes().leave(place);
        }
        self.state.is_held()
    }

    /// The length that renewals give it, if it is renewed.
    pub(super) fn renewal(&self) -> Option<Duration> {
        self.renewal.map(TtlMillis::get)
    }

    /// Whether a guard has been made of it.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Relaxed) != 0
    }

    /// The runtime of the guard that came for it, where renewals can go on if the provider's own has ended.
    pub(super) fn runtime(&self) -> Option<Handle> {
        self.backend.runtimes().get(runtime_of(self.taken.load(Relaxed))?)
    }
}

/// The place among the runtimes that is noted with "taken".
fn runtime_of(taken: u32) -> Option<Place> {
    taken.checked_sub(1 + TAKEN).map(Place)
}

impl<B: LeaseOwner> Drop for RedisLease<B> {
    fn drop(&mut self) {
        if let Some(place) = runtime_of(*self.taken.get_mut()) {
            self.backend.runtimes().leave(place);
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
                // Without an answer if its turn never came: the lease has ended before, or the provider is gone, and with it
                // every lock.
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
