//! [`Locking`]: the registered providers.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::LockingBuilder;
use crate::{
    BuildError, BuildProblem, DistributedLock, DistributedLockProvider, LockError, LockMode, LockOptions, LockRequest,
    LockSet, ReadWriteLock, Resource,
};

/// The providers that were registered at start-up. Cheap to clone; keep it in the application's state.
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
    scope: Scope,
}

#[derive(Debug)]
struct Registry {
    named: BTreeMap<String, Arc<dyn DistributedLockProvider>>,
    options: LockOptions,
}

/// Which providers [`Locking::check`] and [`Locking::close`] are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// All of them.
    Default,
    /// The named one alone.
    Named,
}

impl Locking {
    /// Starts a registration.
    pub fn builder() -> LockingBuilder {
        LockingBuilder::default()
    }

    pub(super) fn new(
        default: Arc<dyn DistributedLockProvider>,
        named: BTreeMap<String, Arc<dyn DistributedLockProvider>>,
        options: LockOptions,
    ) -> Self {
        Self { registry: Arc::new(Registry { named, options }), provider: default, scope: Scope::Default }
    }

    /// The lock on `resource` with the default options. `resource` is a `&str`, a `String` or a [`Resource`].
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

    /// The lock on `resource` for readers, which hold it together, and for writers, each of which holds it alone. With the
    /// default options.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the name is not valid, [`LockError::Unsupported`] if the provider has no shared
    /// locks.
    ///
    /// # Examples
    ///
    /// See [`ReadWriteLock`].
    pub fn read_write<R>(&self, resource: R) -> Result<ReadWriteLock, LockError>
    where
        R: TryInto<Resource>,
        R::Error: Into<LockError>,
    {
        let resource = resource.try_into().map_err(Into::into)?;
        ReadWriteLock::new(&*self.provider, resource, self.registry.options)
    }

    /// The lock on `resource` that at most `n` callers hold at once, over all processes. With the default options.
    ///
    /// `n` is 1 to [`LockMode::MAX_PERMITS`]. The guard has the number of its permit, `0..n`, which no other holder has
    /// meanwhile: [`LockGuard::permit`](crate::LockGuard::permit).
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if the name is not valid, [`LockError::InvalidOptions`] if `n` is out of its range,
    /// [`LockError::Unsupported`] if the provider has no permits.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let locking = orchestrix_locking::Locking::builder().add_in_memory_locking().build()?;
    /// use std::time::Duration;
    ///
    /// let exports = locking.semaphore("exports", 2)?;
    /// let (one, other) = (exports.acquire().await?, exports.acquire().await?);
    /// assert_eq!((one.permit(), other.permit()), (Some(0), Some(1)));
    /// assert!(exports.try_acquire(Duration::ZERO).await?.is_none());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "memory"))]
    /// # fn main() {}
    /// ```
    pub fn semaphore<R>(&self, resource: R, n: u32) -> Result<DistributedLock, LockError>
    where
        R: TryInto<Resource>,
        R::Error: Into<LockError>,
    {
        self.lock_with(resource, self.registry.options.mode(LockMode::permits(n)))
    }

    /// Several locks that are taken at once, all or nothing: 1 to 64 names, in any order. Each of `requests` is a `&str`, a
    /// `String`, a [`Resource`] or a [`LockRequest`]. What a request does not set is taken from the default options, and its
    /// [wait](LockRequest::wait) does not count.
    ///
    /// A name that comes again in the same [mode](crate::LockMode) counts once, with the options of its first request.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidResource`] if a name is not valid. [`LockError::InvalidOptions`] if there are no names or more than
    /// 64, if one name is asked for in two modes, or if an option is out of its range. [`LockError::Unsupported`] if the
    /// provider does not have locks with these options.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "memory")] {
    /// use orchestrix_locking::{LockError, LockMode, LockRequest, LockSetGuard, Locking};
    ///
    /// async fn book(locking: &Locking, room: &str) -> Result<LockSetGuard, LockError> {
    ///     let plan = LockRequest::try_from("plan")?.mode(LockMode::Shared);
    ///     locking.lock_all([plan, LockRequest::try_from(room)?])?.acquire().await
    /// }
    /// # let _ = book; }
    /// ```
    pub fn lock_all<I>(&self, requests: I) -> Result<LockSet, LockError>
    where
        I: IntoIterator,
        I::Item: TryInto<LockRequest>,
        <I::Item as TryInto<LockRequest>>::Error: Into<LockError>,
    {
        LockSet::new(requests.into_iter().map(|request| {
            let request = request.try_into().map_err(Into::into)?;
            let options = request.options_or(self.registry.options);
            self.provider.create_lock(request.into_resource(), options)
        }))
    }

    /// The provider itself.
    pub fn provider(&self) -> Arc<dyn DistributedLockProvider> {
        Arc::clone(&self.provider)
    }

    /// The options of locks that are made without options.
    pub fn default_options(&self) -> LockOptions {
        self.registry.options
    }

    /// A `Locking` for the provider that was registered under `name`, with the same default options.
    ///
    /// # Errors
    ///
    /// [`BuildProblem::UnknownName`], with the registered names.
    pub fn named(&self, name: &str) -> Result<Self, BuildError> {
        let Some(provider) = self.registry.named.get(name) else {
            let known = self.registry.named.keys().cloned().collect();
            return Err(BuildProblem::UnknownName { name: name.to_owned(), known }.into());
        };
        Ok(Self { registry: Arc::clone(&self.registry), provider: Arc::clone(provider), scope: Scope::Named })
    }

    /// Whether locks can be granted at present, for a readiness probe. Checks every registered provider. A `Locking` from
    /// [`named`](Self::named) checks only its own.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped at any time.
    ///
    /// # Errors
    ///
    /// The error of the first provider that fails. The default provider is checked first.
    pub async fn check(&self) -> Result<(), LockError> {
        for provider in self.providers() {
            provider.check().await?;
        }
        Ok(())
    }

    /// Shuts down. Every lock that is still held is released, which its guard sees as a loss. Waiters end with
    /// [`LockError::Closed`], and so does every later acquire.
    ///
    /// Returns when all pending releases have a reply, those of dropped guards included, or when the provider's time limit
    /// is over (`RedisLockOptions::close_timeout`).
    ///
    /// Closes every registered provider. A `Locking` from [`named`](Self::named) closes only its own. It can be called more
    /// than once.
    ///
    /// Call it before a program ends, also after a failure: a release that is still pending at the end of the runtime may
    /// never be sent. In a server it also ends requests that run under a lock, so give them time first. `docs/recipes.md`
    /// has the order.
    ///
    /// A guard that was held at the close is logged and counted as closed, not as lost.
    ///
    /// # Cancel safety
    ///
    /// Providers that are closed when the future is dropped stay closed. Call it again for the others.
    pub async fn close(&self) {
        for provider in self.providers() {
            provider.close().await;
        }
    }

    fn providers(&self) -> impl Iterator<Item = &Arc<dyn DistributedLockProvider>> {
        let others = match self.scope {
            Scope::Default => Some(self.registry.named.values()),
            Scope::Named => None,
        };
        std::iter::once(&self.provider).chain(others.into_iter().flatten())
    }
}
