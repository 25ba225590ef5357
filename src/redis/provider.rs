//! [`RedisLockProvider`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;

use super::backend::Backend;
use super::options::RedisLockOptions;
use super::{RedisWarning, check};
use crate::backend::{BoxFuture, LockBackend};
use crate::telemetry;
use crate::{BuildError, BuildProblem, DistributedLock, DistributedLockProvider, LockError, LockOptions, Resource};

/// Locks on a Redis or Valkey server, for services that run in several processes. The server may be the primary of several,
/// which Sentinel names or which is found, or a Redis Cluster; a failover to a replica can lose the latest locks.
///
/// Each lock is one key, the prefix and the resource. Its value is the owner token, and it expires with the lease. Any other
/// program that locks the same key with `SET key token NX PX ttl` excludes this crate and is excluded by it. A waiter does
/// not poll: a release hands the lock over to the first in the server's wait queue, and a notification tells that process.
/// `docs/redis.md` has the keys, the permissions, and what happens when servers fail.
///
/// A lock that is handed over begins with a short lease, 5 s with the default time-outs. The first renewal makes it as long
/// as [`LockOptions::ttl`](crate::LockOptions::ttl). So a process that does not run when it is granted the lock does not keep
/// the others waiting for longer. Until that renewal [`LockGuard::remaining`](crate::LockGuard::remaining) counts the short
/// lease. With [`auto_renew(false)`](crate::LockOptions::auto_renew) the lease has its whole length from the beginning.
///
/// A new provider does no I/O. It connects when the first lock is acquired, keeps one connection (in a cluster one to each
/// node that has slots), and replaces it when it breaks, for as long as the provider, a lock or a guard lives. The runtime in
/// which the first lock is acquired drives the connection. If that runtime ends or is not run any more, another one takes
/// over in which a lock is held, waited for, acquired or released. A runtime that ends while a release is in flight waits for
/// its reply, for the response time-out at most. A clone has the same locks and the same connection.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use orchestrix_locking::{DistributedLockProvider, LockOptions, RedisLockOptions, RedisLockProvider};
///
/// let options = RedisLockOptions::default().connection_string("redis://localhost:6379");
/// let provider = RedisLockProvider::new(options)?;
/// provider.check().await?;
/// let lock = provider.create_lock("order:42".try_into()?, LockOptions::default())?;
/// if let Some(guard) = lock.try_acquire(Duration::from_secs(5)).await? {
///     println!("ours, with token {}", guard.fencing_token());
///     guard.release().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisLockProvider {
    backend: Arc<Backend>,
    logged: Arc<Logged>,
}

/// What has been logged, since each warning is logged once.
#[derive(Default)]
struct Logged {
    warnings: Mutex<Vec<RedisWarning>>,
    /// `INFO` has been refused.
    info_refused: AtomicBool,
    short_lease: AtomicBool,
    long_response_timeout: AtomicBool,
}

impl Logged {
    /// Notes a warning. Returns whether it is a new one. An `Unknown` whose reason alone has changed is not, and neither is
    /// another number of replicas.
    fn add(&self, warning: &RedisWarning) -> bool {
        let same = |logged: &RedisWarning| match (logged, warning) {
            (RedisWarning::Unknown { what: logged, .. }, RedisWarning::Unknown { what, .. }) => logged == what,
            (RedisWarning::AsynchronousReplication { .. }, RedisWarning::AsynchronousReplication { .. }) => true,
            _ => logged == warning,
        };
        let mut logged = self.warnings.lock();
        let is_new = !logged.iter().any(same);
        if is_new {
            logged.push(warning.clone());
        }
        is_new
    }
}

/// A shorter lease is allowed, and logged: the drift of the clocks and one round trip take a large part of it, and it ends
/// while the server is busy for a moment.
const SHORT_LEASE: Duration = Duration::from_millis(100);

impl RedisLockProvider {
    /// A provider with these options. Does no I/O.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] with every mistake in the options: a connection string that does not parse, a prefix with
    /// braces, a time out of its range, certificates that do not parse.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a provider is made once, and its options are not needed afterwards"
    )]
    pub fn new(options: RedisLockOptions) -> Result<Self, BuildError> {
        let backend = Backend::new(options.settings()?).map_err(BuildProblem::Options)?;
        let provider = Self { backend, logged: Arc::default() };
        for warning in &provider.backend.driver().settings().warnings {
            provider.log(warning);
        }
        Ok(provider)
    }

    /// Logs a warning, once.
    fn log(&self, warning: &RedisWarning) {
        if self.logged.add(warning) {
            self.advise(&warning.to_string());
        }
    }

    fn advise(&self, advice: &str) {
        let settings = self.backend.driver().settings();
        telemetry::advise(&settings.server, &settings.prefix, advice);
    }

    /// Checks the server as [`check`](DistributedLockProvider::check) does, and returns what works but may not suit locks,
    /// such as a server that may evict keys or a user without permission for channels. `check` logs the same, once (feature
    /// `tracing`).
    ///
    /// Acquires the lock `orchestrix-locking check` and releases it, over the connection that all locks use. Only that decides
    /// whether there is an error; what else cannot be found out is a warning. In a Redis Cluster names in all parts of the
    /// slots are tried as well, and each node is asked for its settings.
    ///
    /// It ends within twice the connect time-out plus three times the response time-out, in any runtime.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if the server cannot be reached or does not answer; [`LockError::Backend`] if it
    /// refuses the user, a script or a key; [`LockError::Closed`] after
    /// [`close`](DistributedLockProvider::close).
    pub async fn warnings(&self) -> Result<Vec<RedisWarning>, LockError> {
        check::check(&self.backend, &self.logged.info_refused).await
    }

    /// The old name of [`warnings`](Self::warnings).
    ///
    /// # Errors
    ///
    /// Those of [`warnings`](Self::warnings).
    #[deprecated(since = "0.2.0", note = "is called `warnings` now")]
    pub async fn findings(&self) -> Result<Vec<RedisWarning>, LockError> {
        self.warnings().await
    }

    /// For how many resources this process holds the lock or waits.
    pub fn len(&self) -> usize {
        self.backend.driver().len()
    }

    /// Whether this process neither holds a lock nor waits for one.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many callers of this process wait at present, over all resources, holders not counted.
    pub fn waiters_in_total(&self) -> usize {
        self.backend.driver().waiters_in_total()
    }

    /// How many callers of this process wait for a resource, its holder not counted.
    pub fn waiters(&self, resource: &Resource) -> usize {
        self.backend.driver().waiters(resource)
    }
}

impl DistributedLockProvider for RedisLockProvider {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        if options.configured_ttl() < SHORT_LEASE && !self.logged.short_lease.swap(true, SeqCst) {
            self.advise("a lock's ttl is below 100 ms: drift and a round trip to the server are taken off it");
        }
        let settings = self.backend.driver().settings();
        if options.configured_auto_renew()
            && settings.response_timeout * 2 > options.configured_ttl()
            && !self.logged.long_response_timeout.swap(true, SeqCst)
        {
            let advice = "the response timeout is above half of a lock's ttl: a connection that dies silently may be \
                          replaced too late for the renewal that was lost with it";
            self.advise(advice);
        }
        DistributedLock::new(resource, options, Arc::clone(&self.backend) as Arc<dyn LockBackend>)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(async {
            for warning in self.warnings().await? {
                self.log(&warning);
            }
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // The pending calls have to be sent, also if the runtime that drives the connection is not run any more.
            self.backend.driver().serve_from_here();
            self.backend.driver().close().await;
        })
    }
}

impl fmt::Debug for RedisLockProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.backend.driver().settings();
        f.debug_struct("RedisLockProvider")
            .field("server", &settings.server)
            .field("key_prefix", &settings.prefix)
            .field("locks", &self.len())
            .finish_non_exhaustive()
    }
}
