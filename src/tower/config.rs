//! [`LayerConfig`]: the settings that both layers share.

use std::time::Duration;

use super::acquire_state::AcquireState;
use super::lock_requests::{LockRequests, Needs};
use crate::{DistributedLockProvider, LockError, LockMode, LockOptions, LockRequest, LockSet};

/// What a layer does when the lock is lost while the inner service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// The inner future is dropped, and the request is answered with [`LockError::Lost`]. The default. An answer that is
    /// finished after the loss is replaced by that error too: another holder may have changed the resource since.
    #[default]
    Cancel,
    /// The inner future goes on, without the lock. Its writes should carry the fencing token.
    Continue,
}

/// Small and `Copy`, so that cloning a layer or a service costs nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerConfig {
    options: LockOptions,
    pub(crate) wait: Duration,
    pub(crate) max_waiters: usize,
    pub(crate) on_lost: OnLost,
}

impl LayerConfig {
    pub(crate) fn new(options: LockOptions) -> Self {
        let config = Self { options, wait: Duration::from_secs(10), max_waiters: 1024, on_lost: OnLost::default() };
        config.options(options)
    }

    /// A `max_waiters` that is set in the options replaces the layer's.
    /// So does a mode: one that was set stays if the options have the default.
    pub(crate) fn options(self, options: LockOptions) -> Self {
        let options = match options.configured_mode() {
            LockMode::Exclusive => options.mode(self.options.configured_mode()),
            _ => options,
        };
        Self { options, max_waiters: options.configured_max_waiters().unwrap_or(self.max_waiters), ..self }
    }

    pub(crate) fn ttl(self, ttl: Duration) -> Self {
        Self { options: self.options.ttl(ttl), ..self }
    }

    pub(crate) fn mode(self, mode: LockMode) -> Self {
        Self { options: self.options.mode(mode), ..self }
    }

    /// The acquire for a request that needs these locks. An error refuses the request.
    #[inline]
    pub(crate) fn acquire(
        &self,
        provider: &dyn DistributedLockProvider,
        locks: Result<LockRequests, LockError>,
        wait: Duration,
    ) -> AcquireState {
        let lock = match locks {
            Ok(LockRequests(Needs::Named(resource))) => {
                provider.create_lock(resource, self.options.max_waiters(Some(self.max_waiters)))
            }
            Ok(LockRequests(Needs::Nothing)) => return AcquireState::MayRun,
            Ok(LockRequests(Needs::Listed(requests))) => return self.acquire_listed(provider, requests, wait),
            Err(error) => Err(error),
        };
        match lock {
            Ok(lock) => AcquireState::new(lock, wait),
            Err(error) => AcquireState::refused(error),
        }
    }

    /// Not inlined, so that the path of a single lock stays short.
    #[inline(never)]
    fn acquire_listed(
        &self,
        provider: &dyn DistributedLockProvider,
        requests: Vec<LockRequest>,
        wait: Duration,
    ) -> AcquireState {
        let create = |request: LockRequest| {
            let options = request.options_or(self.options.max_waiters(Some(self.max_waiters)));
            let max_waiters = options.configured_max_waiters().unwrap_or(self.max_waiters);
            provider.create_lock(request.into_resource(), options.max_waiters(Some(max_waiters)))
        };
        let several = requests.len() > 1;
        if requests.len() > LockSet::MAX_LOCKS {
            // The names may be those of the client.
            let text =
                format!("the request names {} locks, of which {} are allowed", requests.len(), LockSet::MAX_LOCKS);
            return AcquireState::refused(LockError::invalid_resource(text));
        }
        let mut locks = requests.into_iter().map(create);
        let state = if several {
            LockSet::new(locks).map(|set| AcquireState::new(set, wait))
        } else {
            locks.next().map_or(Ok(AcquireState::MayRun), |lock| lock.map(|lock| AcquireState::new(lock, wait)))
        };
        state.unwrap_or_else(AcquireState::refused)
    }
}
