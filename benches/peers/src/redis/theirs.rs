//! The peers, each as its documentation shows it, with a lease of 30 s as ours has.

use std::sync::Arc;
use std::time::Duration;

use distributed_lock_core::traits::{DistributedLock, LockHandle, LockProvider};
use distributed_lock_redis::{RedisDistributedLock, RedisLockHandle, RedisLockProvider};

use super::raw::{POLL, client};
use super::{Client, Lock};
use crate::Result;

const TTL: Duration = Duration::from_secs(30);

/// One `Locker`, cloned into tasks. Renewal at a third of the lease, as ours; no limit on the wait.
#[derive(Clone)]
pub(crate) struct AsyncRedisLock {
    locker: async_redis_lock::Locker,
    options: async_redis_lock::Options,
}

impl AsyncRedisLock {
    /// `retry`: its own is 100 ms.
    pub(super) async fn connect(url: &str, retry: Option<Duration>) -> Result<Self> {
        let locker = async_redis_lock::Locker::from_client(client(url)?).await?;
        let mut options = async_redis_lock::Options::new().ttl(TTL).extend(TTL / 3).timeout(None);
        if let Some(retry) = retry {
            options = options.retry(retry);
        }
        Ok(Self { locker, options })
    }
}

impl Client for AsyncRedisLock {
    type Lock = (Self, String);

    fn lock(&self, name: &str) -> Result<Self::Lock> {
        Ok((self.clone(), name.into()))
    }
}

impl Lock for (AsyncRedisLock, String) {
    type Held = async_redis_lock::Lock;

    async fn acquire(&self) -> Result<Self::Held> {
        Ok(self.0.locker.acquire_with_options(&self.0.options, &self.1).await?)
    }

    async fn release(&self, held: Self::Held) -> Result<()> {
        Ok(held.release().await?)
    }
}

/// One `LockManager`, cloned into tasks. It waits a random time up to the retry delay; after so many tries in a row,
/// three by default, it begins anew without a wait.
#[derive(Clone)]
pub(crate) struct RsLock(rslock::LockManager);

impl RsLock {
    /// `retry`: its own is up to 200 ms.
    pub(super) fn connect(url: &str, retry: Option<Duration>) -> Result<Self> {
        let mut manager = rslock::LockManager::from_clients(vec![client(url)?]);
        if let Some(retry) = retry {
            manager.set_retry(u32::MAX, retry);
        }
        Ok(Self(manager))
    }
}

impl Client for RsLock {
    type Lock = (Self, String);

    fn lock(&self, name: &str) -> Result<Self::Lock> {
        Ok((self.clone(), name.into()))
    }
}

impl Lock for (RsLock, String) {
    type Held = rslock::LockGuard;

    async fn acquire(&self) -> Result<Self::Held> {
        Ok(self.0.0.acquire(self.1.as_bytes(), TTL).await?)
    }

    async fn release(&self, held: Self::Held) -> Result<()> {
        held.release().await;
        Ok(())
    }
}

/// One provider, a lock object for each task, since a lock object has one secret. It makes one try and does not wait:
/// the wait between tries, 5 ms, is ours.
#[derive(Clone)]
pub(crate) struct DistributedLockRedis(Arc<RedisLockProvider>);

impl DistributedLockRedis {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        Ok(Self(Arc::new(RedisLockProvider::new(url).await?)))
    }
}

impl Client for DistributedLockRedis {
    type Lock = RedisDistributedLock;

    fn lock(&self, name: &str) -> Result<Self::Lock> {
        Ok(self.0.create_lock(name))
    }
}

impl Lock for RedisDistributedLock {
    type Held = RedisLockHandle;

    async fn acquire(&self) -> Result<Self::Held> {
        loop {
            if let Some(handle) = self.try_acquire().await? {
                return Ok(handle);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn release(&self, held: Self::Held) -> Result<()> {
        Ok(held.release().await?)
    }
}
