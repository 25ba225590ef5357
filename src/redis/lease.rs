//! [`RedisLease`]: one lock that is held.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::backend::Backend;
use crate::provider::{BoxFuture, Lease, LeaseState, Releasing, Term};
use crate::{FencingToken, LockError, LockOptions, Resource};

/// One hold of a lock, by one caller. Several may follow each other within one tenure on the server.
pub(super) struct RedisLease {
    state: LeaseState,
    options: LockOptions,
    /// A guard has come for it. Nothing renews a lease for which nobody came.
    taken: AtomicBool,
    /// Where it was taken, if it is to be renewed.
    runtime: OnceLock<Handle>,
    backend: Arc<Backend>,
}

impl RedisLease {
    /// A lease of `length` from `from` on.
    pub(super) fn new(
        resource: Resource,
        fence: FencingToken,
        from: Instant,
        length: Duration,
        options: LockOptions,
        backend: Arc<Backend>,
    ) -> Arc<Self> {
        let term = Term::new(from, length).max_hold(options.get_max_hold());
        let state = LeaseState::held(resource, fence, term);
        Arc::new(Self { state, options, taken: AtomicBool::new(false), runtime: OnceLock::new(), backend })
    }

    /// A guard comes for it. `false` if it has ended before.
    pub(super) fn take(&self) -> bool {
        if self.options.get_auto_renew()
            && let Ok(runtime) = Handle::try_current()
        {
            _ = self.runtime.set(runtime);
        }
        self.taken.store(true, Relaxed);
        self.state.is_held()
    }

    /// Whether it is renewed at present.
    pub(super) fn wants_renewal(&self) -> bool {
        self.options.get_auto_renew() && self.taken.load(Relaxed)
    }

    /// The runtime of the guard that came for it, where renewals can go on if the provider's own has ended.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        self.runtime.get()
    }

    pub(super) fn options(&self) -> &LockOptions {
        &self.options
    }
}

impl Lease for RedisLease {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, duration: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        let answer = self.backend.locks().extend(&self, duration);
        self.backend.locks().serve();
        Box::pin(async move {
            match answer {
                Ok(extended) => Ok(extended),
                // Without an answer only if the provider is gone, and with it every lock.
                Err(answer) => answer.await.unwrap_or(Err(LockError::Closed)),
            }
        })
    }

    fn release(self: Arc<Self>) -> Releasing {
        let releasing = self.backend.locks().release(&self);
        self.backend.locks().serve();
        releasing
    }
}

impl fmt::Debug for RedisLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLease").field("state", &self.state).finish_non_exhaustive()
    }
}
