//! A provider that tells the handler behind a layer of its lock.
//!
//! The layer for any Tower service cannot put the lock into a request that it knows nothing of, so it takes
//! another way: a request's lock is granted, and its handler called, in the one task that awaits the answer.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::provider::{Acquiring, LockBackend, Wait};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, LockError, LockHandle, LockOptions, RedisLockProvider, Resource,
};

tokio::task_local! {
    /// The lock under which the request of this task runs.
    pub(super) static LOCK: Cell<Option<LockHandle>>;
}

#[derive(Debug, Clone)]
pub(super) struct Telling(pub(super) RedisLockProvider);

impl DistributedLockProvider for Telling {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        DistributedLock::new(resource, options, Arc::new(self.clone()))
    }
}

impl LockBackend for Telling {
    fn acquire(self: Arc<Self>, resource: Resource, options: LockOptions, wait: Wait) -> Acquiring {
        Acquiring::pending(async move {
            let lock = self.0.create_lock(resource, options)?;
            let timeout = match wait {
                Wait::No => Duration::ZERO,
                Wait::AtMost(timeout) => timeout,
                Wait::Forever => Duration::MAX,
            };
            let guard = lock.try_acquire(timeout).await?;
            if let Some(guard) = &guard {
                // Outside such a task there is nobody to be told.
                _ = LOCK.try_with(|lock| lock.set(Some(guard.handle())));
            }
            Ok(guard)
        })
    }
}
