//! [`Locking`]: the registered providers, as users keep them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{BuildError, BuildProblem, LockingBuilder};
use crate::{DistributedLock, DistributedLockProvider, LockError, LockOptions, Resource};

/// The providers that were registered at start-up. A cheap clone, to be kept in an application's state.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "memory")]
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use orchestrix_locking::{InMemoryLockProvider, LockOptions, Locking};
///
/// let locking = Locking::builder()
///     .add_in_memory_locking()
///     .add_provider("jobs", InMemoryLockProvider::new())
///     .default_options(LockOptions::default().ttl(Duration::from_secs(20)))
///     .build()?;
/// let order = locking.lock("order:42")?;
/// let job = locking.named("jobs")?.lock("nightly")?;
/// # let _ = (order, job);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "memory"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
pub struct Locking {
    registry: Arc<Registry>,
    provider: Arc<dyn DistributedLockProvider>,
    face: Face,
}

#[derive(Debug)]
struct Registry {
    named: BTreeMap<String, Arc<dyn DistributedLockProvider>>,
    options: LockOptions,
}

/// Whose provider a `Locking` speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Default,
    Named,
}

impl Locking {
    /// Begins a registration.
    pub fn builder() -> LockingBuilder {
        LockingBuilder::default()
    }

    pub(super) fn new(
        default: Arc<dyn DistributedLockProvider>,
        named: BTreeMap<String, Arc<dyn DistributedLockProvider>>,
        options: LockOptions,
    ) -> Self {
        Self { registry: Arc::new(Registry { named, options }), provider: default, face: Face::Default }
    }

    /// The lock on `resource`, a `&str`, a `String` or a [`Resource`], with the default options.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the name is not valid.
    #[doc(alias = "CreateLock")]
    pub fn lock<R>(&self, resource: R) -> Result<DistributedLock, LockError>
    where
        R: TryInto<Resource>,
        R::Error: Into<LockError>,
    {
        self.lock_with(resource, self.registry.options)
    }

    /// The lock on `resource` with options of its own.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the name is not valid, [`LockError::InvalidOptions`] if an option is
    /// out of its range.
    pub fn lock_with<R>(&self, resource: R, options: LockOptions) -> Result<DistributedLock, LockError>
    where
        R: TryInto<Resource>,
        R::Error: Into<LockError>,
    {
        self.provider.create_lock(resource.try_into().map_err(Into::into)?, options)
    }

    /// The provider itself.
    pub fn provider(&self) -> Arc<dyn DistributedLockProvider> {
        Arc::clone(&self.provider)
    }

    /// The options of locks for which none are given.
    pub fn default_options(&self) -> LockOptions {
        self.registry.options
    }

    /// A `Locking` for the provider that was registered with this name, with the same default options.
    ///
    /// # Errors
    ///
    /// [`BuildProblem::UnknownName`], with the names that there are.
    pub fn named(&self, name: &str) -> Result<Self, BuildError> {
        let Some(provider) = self.registry.named.get(name) else {
            let known = self.registry.named.keys().cloned().collect();
            return Err(BuildProblem::UnknownName { name: name.to_owned(), known }.into());
        };
        Ok(Self { registry: Arc::clone(&self.registry), provider: Arc::clone(provider), face: Face::Named })
    }

    /// Whether locks can be granted at present, for a readiness probe. Asks every registered provider; a `Locking` from
    /// [`named`](Self::named) asks its own alone.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    ///
    /// # Errors
    ///
    /// The first provider's error, the default one asked first.
    pub async fn check(&self) -> Result<(), LockError> {
        for provider in self.providers() {
            provider.check().await?;
        }
        Ok(())
    }

    /// Shuts down. Releases every lock that is still held: its guard sees that as a loss. Ends waiters with
    /// [`LockError::Closed`], and returns when pending releases are answered, those of dropped guards among them, or the
    /// provider's own limit for closing is over (`RedisLockOptions::close_timeout`). From then on acquiring is
    /// [`LockError::Closed`].
    ///
    /// Closes every registered provider; a `Locking` from [`named`](Self::named) closes its own alone. Can be called
    /// twice.
    ///
    /// Call it before a program ends, also where the work has failed: a release that is still pending when the runtime
    /// ends may never be sent. In a server that shuts down, requests that run under a lock end by it as well, so give
    /// them time first; `docs/recipes.md` has the order.
    ///
    /// A guard that was held meanwhile is logged and counted as closed, and not as lost.
    ///
    /// # Cancel safety
    ///
    /// What has been closed when the future is dropped stays closed; call it again for the rest.
    pub async fn close(&self) {
        for provider in self.providers() {
            provider.close().await;
        }
    }

    fn providers(&self) -> impl Iterator<Item = &Arc<dyn DistributedLockProvider>> {
        let others = match self.face {
            Face::Default => Some(self.registry.named.values()),
            Face::Named => None,
        };
        std::iter::once(&self.provider).chain(others.into_iter().flatten())
    }
}
