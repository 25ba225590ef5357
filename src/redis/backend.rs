//! [`Backend`]: shared by a provider, its locks and its guards.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::Pool;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Id};

use super::acquire_future::AcquireFuture;
use super::connection_string::Server;
use super::driver::Driver;
use super::lease::{LeaseOwner, RedisLease};
use super::replicas::Replicas;
use super::runtimes::Runtimes;
use super::settings::Settings;
use crate::backend::{Acquiring, BoxFuture, Lease as _, LockBackend, Releasing};
use crate::engine::ExtendAnswer;
use crate::{LockError, LockOptions, LockRequest};

/// Owned by locks, guards and waiters. The provider's tasks end with the last of them.
pub(super) struct Backend {
    driver: Arc<Driver<Self>>,
    /// Connections for everything but lock calls. Made at the first use, again in another runtime, since its connections are driven
    /// by the one in which they were made, and again for another server.
    pool: Mutex<Option<(Id, Server, Pool)>>,
    replicas: Arc<Replicas>,
}

impl Backend {
    pub(super) fn new(settings: Settings) -> Result<Arc<Self>, LockError> {
        Ok(Arc::new(Self {
            driver: Arc::new(Driver::new(settings)?),
            pool: Mutex::new(None),
            replicas: Arc::default(),
        }))
    }

    pub(super) fn driver(&self) -> &Arc<Driver<Self>> {
        &self.driver
    }

    /// The pool of connections for everything but lock calls, to this server.
    pub(super) fn pool<E>(&self, server: &Server, new: impl FnOnce() -> Result<Pool, E>) -> Result<Pool, E> {
        let here = Handle::try_current().ok().map(|runtime| runtime.id());
        if let Some((runtime, of, pool)) = &*self.pool.lock()
            && Some(*runtime) == here
            && of == server
        {
            return Ok(pool.clone());
        }
        let pool = new()?;
        let before = here.and_then(|here| self.pool.lock().replace((here, server.clone(), pool.clone())));
        // Dropped outside the mutex, since it closes its connections.
        drop(before);
        Ok(pool)
    }
}

impl Backend {
    /// Waits until replicas have the grant of this lease, if the options ask for that. `None` if they do not.
    pub(super) fn confirm(&self, lease: &Arc<RedisLease<Self>>) -> Option<BoxFuture<'static, Result<(), LockError>>> {
        let resource = lease.state().resource();
        let settings = self.driver.settings();
        let confirmation = settings.confirmation?;
        let Some(token) = self.driver.owner_token(lease) else {
            // The lock is not ours any more.
            let lost = LockError::unavailable("the lock was granted, and lost before its replicas were asked for");
            return Some(Box::pin(std::future::ready(Err(lost))));
        };
        let (driver, of, mut is_first) = (Arc::clone(&self.driver), resource.clone(), true);
        let look_up = move || {
            if !std::mem::take(&mut is_first) {
                driver.router.refresh();
            }
            driver.router.with(&of, |connection| connection.node())
        };
        let replicas = Arc::clone(&self.replicas);
        Some(Box::pin(replicas.confirm(settings.clone(), confirmation, look_up, resource.clone(), token)))
    }
}

impl LockBackend for Backend {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        if self.driver.is_closed() {
            return Acquiring::ready(Err(LockError::Closed));
        }
        self.driver.serve();
        match AcquireFuture::begin(self, request) {
            Ok(waiting) => Acquiring::pending(waiting),
            Err(refused) => Acquiring::ready(refused),
        }
    }

    fn supports(&self, _: &LockOptions) -> bool {
        true
    }

    fn together(&self, calls: &mut dyn FnMut()) {
        self.driver.router.together(calls);
    }
}

impl LeaseOwner for Backend {
    fn extend(&self, lease: &Arc<RedisLease<Self>>, duration: Duration) -> ExtendAnswer {
        let answer = self.driver.extend(lease, duration);
        self.driver.serve_from_here();
        answer
    }

    fn release(&self, lease: &Arc<RedisLease<Self>>) -> Releasing {
        let releasing = self.driver.release(lease);
        self.driver.serve_from_here();
        releasing
    }

    fn runtimes(&self) -> &Runtimes {
        self.driver.runtimes()
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("server", &self.driver.settings().server).finish_non_exhaustive()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // Queued calls are still sent.
        self.driver.retire();
    }
}
