//! A provider that tells the handler behind a layer which fence its lock has.
//!
//! The layer for any Tower service cannot put the lock into a request that it knows nothing of, so the fence takes
//! another way: a request's lock is granted, and its handler called, in the one task that awaits the answer.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::provider::{Acquiring, LockBackend, Wait};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, FencingToken, LockError, LockOptions, RedisLockProvider, Resource,
};

tokio::task_local! {
    /// The fence of the lock under which the request of this task runs.
    pub(super) static FENCE: Cell<Option<FencingToken>>;
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
                _ = FENCE.try_with(|fence| fence.set(Some(guard.fencing_token())));
            }
            Ok(guard)
        })
    }
}
