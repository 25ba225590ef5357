//! [`InMemoryLockProvider`]: locks within one process.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::SystemTime;

use hashbrown::DefaultHashBuilder;

use super::lock_info::{self, LockInfo};
use crate::backend::in_process::Shard;
use crate::backend::{BoxFuture, DEFAULT_MAX_WAITERS, WaiterLimit};
use crate::{DistributedLock, DistributedLockProvider, LockError, LockOptions, Resource};

/// Locks in the memory of this process: for a service that runs as one process, for tests, and for a start without
/// Redis. If several processes share the locks, use `RedisLockProvider` (feature `redis`).
///
/// It behaves as a distributed lock does: leases expire, are renewed, extended and lost; waiters are served strictly in
/// the order in which they came; every grant has a fencing token. It uses tokio's clock, so that tests can pause time.
///
/// It has every [mode](crate::LockMode), and [`LockOptions::at_least`].
///
/// Two names never share a lock. A name uses memory only while its lock is held or [kept](LockOptions::at_least). A clone has the same locks; two
/// providers made with [`new`](Self::new) have separate ones.
///
/// Fencing tokens start from the wall clock when the provider is made, and rise from there. So they keep rising over a
/// restart, unless the wall clock was set back.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), orchestrix_locking::LockError> {
/// use std::time::Duration;
/// use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockOptions};
///
/// let provider = InMemoryLockProvider::new();
/// let lock = provider.create_lock("order:42".try_into()?, LockOptions::default())?;
/// let guard = lock.acquire().await?;
/// assert!(lock.try_acquire(Duration::ZERO).await?.is_none());
/// drop(guard);
/// assert!(provider.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct InMemoryLockProvider {
    shards: Arc<[Arc<Shard>]>,
    /// Randomly seeded, so that clients cannot choose names that collide.
    hasher: DefaultHashBuilder,
    waiter_limit: Arc<WaiterLimit>,
}

impl InMemoryLockProvider {
    /// A provider without any locks.
    pub fn new() -> Self {
        // Many more shards than threads, so that two threads rarely contend for one.
        let shards = available_parallelism().map_or(1, usize::from).saturating_mul(32).next_power_of_two();
        let hasher = DefaultHashBuilder::default();
        let first_fence = first_fence(SystemTime::now());
        let waiter_limit = WaiterLimit::new(DEFAULT_MAX_WAITERS);
        let shard = |_| Arc::new(Shard::new(hasher.clone(), first_fence, Arc::clone(&waiter_limit)));
        Self { shards: (0..shards).map(shard).collect(), hasher, waiter_limit }
    }

    /// Limits how many callers may wait at the same time over all names, holders not counted. One more gets
    /// [`LockError::TooManyWaitersInTotal`]. The default is 100 000; with 0 no caller may wait. The limit is shared
    /// with all clones. It applies from now on: callers that already wait keep waiting.
    ///
    /// [`LockOptions::max_waiters`] limits the waiters of one name. That is not enough where clients choose the names:
    /// this limit applies over all of them. A hundred thousand waiting requests use some hundred megabytes in a
    /// service.
    ///
    /// A caller whose grant expired before it was polled waits again, and is not refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use orchestrix_locking::InMemoryLockProvider;
    ///
    /// let provider = InMemoryLockProvider::new().max_waiters_in_total(5_000);
    /// assert_eq!(provider.waiters_in_total(), 0);
    /// ```
    #[must_use]
    pub fn max_waiters_in_total(self, max: usize) -> Self {
        self.waiter_limit.set_max(max);
        self
    }

    /// How many callers wait at present, over all names, holders not counted.
    pub fn waiters_in_total(&self) -> usize {
        self.waiter_limit.taken()
    }

    /// How many names are locked or waited for.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// Whether no name is locked or waited for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state of one lock, or `None` if it is free. For diagnostics: it may have changed by the time it is read. A
    /// held lock uses some more memory from then on until it is released, as a lock with a handle does.
    pub fn inspect(&self, resource: &Resource) -> Option<LockInfo> {
        lock_info::inspect(self.shard(resource), resource)
    }

    /// The state of every held lock, in no particular order. For diagnostics: not a consistent snapshot, since the
    /// shards are read one after the other. A lock that was reported here uses some more memory until it is released,
    /// as a lock with a handle does.
    pub fn snapshot(&self) -> Vec<LockInfo> {
        self.shards.iter().flat_map(lock_info::snapshot).collect()
    }

    #[inline]
    fn shard(&self, resource: &Resource) -> &Arc<Shard> {
        let hash = self.hasher.hash_one(resource.as_str());
        // The upper half of the hash. The shard's table uses the lower half.
        let at = (hash >> 32) as usize & (self.shards.len() - 1);
        #[expect(clippy::indexing_slicing, reason = "the length is a power of two, and masks the index")]
        &self.shards[at]
    }
}

impl Default for InMemoryLockProvider {
    fn default() -> Self {
        Self::new()
    }
}

impl DistributedLockProvider for InMemoryLockProvider {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        let shard = Arc::clone(self.shard(&resource));
        DistributedLock::new(resource, options, shard)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        let closed = self.shards.iter().any(|shard| shard.is_closed());
        Box::pin(std::future::ready(if closed { Err(LockError::Closed) } else { Ok(()) }))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            for shard in self.shards.iter() {
                shard.close();
            }
        })
    }
}

impl fmt::Debug for InMemoryLockProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InMemoryLockProvider").field("locks", &self.len()).finish_non_exhaustive()
    }
}

/// Microseconds since 1970 in the upper bits, with ten lower bits for 1024 grants in each.
fn first_fence(now: SystemTime) -> u64 {
    let micros = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_micros());
    // 53 bits last until the year 2255 and leave the token positive as a signed 64-bit number.
    u64::try_from(micros).unwrap_or(u64::MAX).min((1 << 53) - 1) << 10
}
