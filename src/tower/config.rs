//! [`LayerConfig`]: the settings that both layers share.

use std::time::Duration;

use super::acquire_state::AcquireState;
use crate::{DistributedLockProvider, LockError, LockOptions, Resource};

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
    pub(crate) fn options(self, options: LockOptions) -> Self {
        Self { options, max_waiters: options.configured_max_waiters().unwrap_or(self.max_waiters), ..self }
    }

    pub(crate) fn ttl(self, ttl: Duration) -> Self {
        Self { options: self.options.ttl(ttl), ..self }
    }

    /// The acquire for a request for `resource`: `None` needs no lock, an error refuses the request.
    #[inline]
    pub(crate) fn acquire(
        &self,
        provider: &dyn DistributedLockProvider,
        resource: Result<Option<Resource>, LockError>,
        wait: Duration,
    ) -> AcquireState {
        let resource = match resource {
            Ok(Some(resource)) => resource,
            Ok(None) => return AcquireState::MayRun,
            Err(error) => return AcquireState::Refused(error),
        };
        match provider.create_lock(resource, self.options.max_waiters(Some(self.max_waiters))) {
            Ok(lock) => AcquireState::new(lock, wait),
            Err(error) => AcquireState::Refused(error),
        }
    }
}
