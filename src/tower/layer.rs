//! [`LockLayer`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use super::config::LayerConfig;
use super::{LockService, OnLost};
use crate::{DistributedLockProvider, LockMode, LockOptions, Locking};

/// Runs the requests of a Tower service under a lock. See the [`middleware`](crate::middleware) module.
///
/// `F` is the closure that names the resource of a request: `Fn(&Request) -> impl IntoResource`.
#[must_use]
pub struct LockLayer<F> {
    pub(super) provider: Arc<dyn DistributedLockProvider>,
    pub(super) extract: Arc<F>,
    pub(super) settings: LayerConfig,
}

impl<F> LockLayer<F> {
    /// A layer that takes its locks from `provider`, with the default [`LockOptions`].
    ///
    /// [`Locking::layer`] does the same with a registered provider and the registered options.
    pub fn new(provider: impl DistributedLockProvider, extract: F) -> Self {
        Self {
            provider: Arc::new(provider),
            extract: Arc::new(extract),
            settings: LayerConfig::new(LockOptions::default()),
        }
    }

    /// How long a request waits for its lock, 10 s by default. Then it is refused with
    /// [`LockError::Busy`](crate::LockError::Busy). With [`Duration::ZERO`] it does not wait.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = wait;
        self
    }

    /// The length of the lease, 10 ms to 24 h. See [`LockOptions::ttl`].
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings = self.settings.ttl(ttl);
        self
    }

    /// All options of the lock. With an option out of range every request is refused with
    /// [`LockError::InvalidOptions`](crate::LockError::InvalidOptions).
    pub fn options(mut self, options: LockOptions) -> Self {
        self.settings = self.settings.options(options);
        self
    }

    /// Who may hold the lock at the same time. See [`LockMode`]. A [`LockRequest`](crate::LockRequest) of the closure may set
    /// another mode.
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.settings = self.settings.mode(mode);
        self
    }

    /// Requests for one resource run at the same time, and exclude those of layers without this: readers beside writers. The
    /// same as [`mode`](Self::mode) with [`LockMode::Shared`].
    pub fn shared(self) -> Self {
        self.mode(LockMode::Shared)
    }

    /// At most `n` requests for one resource run at the same time, over all processes. 1 to 1 000 000. The same as
    /// [`mode`](Self::mode) with [`LockMode::Permits`].
    pub fn permits(self, n: u32) -> Self {
        self.mode(LockMode::permits(n))
    }

    /// How many requests may wait for one resource in this process, 1024 by default. The holder does not count. One more
    /// is refused with [`LockError::TooManyWaiters`](crate::LockError::TooManyWaiters). With 0 no request waits.
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.settings.max_waiters = max_waiters;
        self
    }

    /// What happens if the lock is lost while the inner service runs; [`OnLost::Cancel`] by default.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.settings.on_lost = on_lost;
        self
    }
}

impl Locking {
    /// A layer that runs the requests of any Tower service under this provider's locks. `extract` names the
    /// resource of a request; [`IntoResource`](crate::IntoResource) lists what it may return.
    pub fn layer<F>(&self, extract: F) -> LockLayer<F> {
        LockLayer {
            provider: self.provider(),
            extract: Arc::new(extract),
            settings: LayerConfig::new(self.default_options()),
        }
    }
}

impl<S, F> Layer<S> for LockLayer<F> {
    type Service = LockService<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        LockService { inner, layer: Arc::new(self.clone()) }
    }
}

impl<F> Clone for LockLayer<F> {
    fn clone(&self) -> Self {
        Self { provider: Arc::clone(&self.provider), extract: Arc::clone(&self.extract), settings: self.settings }
    }
}

impl<F> fmt::Debug for LockLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockLayer")
            .field("provider", &self.provider)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
