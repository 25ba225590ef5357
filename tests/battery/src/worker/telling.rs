//! A provider that tells the handler behind a layer of its lock.
//!
//! The layer for any Tower service cannot put the lock into a request that it knows nothing of, so it takes
//! another way: a request's lock is granted, and its handler called, in the one task that awaits the answer.

use std::cell::Cell;
use std::sync::Arc;

use orchestrix_locking::provider::{Acquiring, LockBackend, LockRequest};
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
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        Acquiring::pending(async move {
            let timeout = request.configured_wait().timeout();
            let lock = self.0.create_lock(request.resource().clone(), *request.configured_options())?;
            let guard = lock.try_acquire(timeout).await?;
            if let Some(guard) = &guard {
                // Outside such a task there is no receiver.
                _ = LOCK.try_with(|lock| lock.set(Some(guard.handle())));
            }
            Ok(guard.map(Into::into))
        })
    }
}
