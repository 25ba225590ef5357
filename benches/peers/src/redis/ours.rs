//! Our provider, as it comes.

use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, LockGuard, LockOptions, RedisLockOptions, RedisLockProvider, Resource,
};

use super::{Client, Lock};
use crate::Result;

#[derive(Clone)]
pub(crate) struct Ours(pub(crate) RedisLockProvider);

impl Ours {
    pub(crate) fn connect(url: &str) -> Result<Self> {
        Ok(Self(RedisLockProvider::new(RedisLockOptions::default().connection_string(url))?))
    }
}

impl Client for Ours {
    type Lock = DistributedLock;

    fn lock(&self, name: &str) -> Result<DistributedLock> {
        Ok(self.0.create_lock(Resource::try_from(name)?, LockOptions::default())?)
    }

    async fn close(self) {
        self.0.close().await;
    }
}

impl Lock for DistributedLock {
    type Held = LockGuard;

    async fn acquire(&self) -> Result<LockGuard> {
        Ok(DistributedLock::acquire(self).await?)
    }

    async fn release(&self, held: LockGuard) -> Result<()> {
        held.release().await?;
        Ok(())
    }

    fn fence(held: &LockGuard) -> Option<u64> {
        Some(held.fencing_token().get())
    }
}
