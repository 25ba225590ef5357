//! [`RedisLockProvider`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;

use super::backend::Backend;
use super::check::{self, RedisWarning};
use super::options::RedisLockOptions;
use crate::backend::{BoxFuture, LockBackend};
use crate::telemetry;
use crate::{BuildError, BuildProblem, DistributedLock, DistributedLockProvider, LockError, LockOptions, Resource};

/// Locks on a Redis or Valkey server, for services that run as many copies.
///
/// Each lock is one key, prefix and resource, whose value is its owner's secret and whose expiry is the lease. Any
/// other program that locks the same key with `SET key token NX PX ttl` excludes us and is excluded by us. Waiting
/// costs no polling: a release hands the lock to the next in the server's queue, which hears of it by message. See
/// `docs/redis.md` for the keys, the permissions, and what happens when servers fail.
///
/// A lock that is handed over begins with a short lease, 5 s with the default time-outs, and the first renewal makes it as
/// long as [`LockOptions::ttl`](crate::LockOptions::ttl): a process that is frozen when its turn comes does not keep the
/// others waiting for longer. Until then [`LockGuard::remaining`](crate::LockGuard::remaining) tells of the short one. With
/// [`auto_renew(false)`](crate::LockOptions::auto_renew) the lease is whole from the beginning.
///
/// Making a provider does no I/O: it connects when the first lock is acquired, keeps one connection, and replaces it
/// whenever that breaks, for as long as the provider, a lock or a guard lives. The runtime in which the first lock is
/// acquired drives the connection; if it ends, or is not run any more, another one does in which a lock is held, waited
/// for, acquired or released. A runtime that ends while a release is not answered waits for it, for the response time-out
/// at most. A clone has the same locks and the same connection.
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
    /// What has been said once already.
    advised: Arc<Advised>,
}

#[derive(Default)]
struct Advised {
    findings: Mutex<Vec<RedisWarning>>,
    /// `INFO` has been refused.
    info_refused: AtomicBool,
    short_lease: AtomicBool,
    long_response_timeout: AtomicBool,
}

impl Advised {
    /// Whether this has not been said before. Why something is not known may change from time to time, and is no news.
    fn is_new(&self, finding: &RedisWarning) -> bool {
        let same = |told: &RedisWarning| match (told, finding) {
            (RedisWarning::Unknown { what: told, .. }, RedisWarning::Unknown { what, .. }) => told == what,
            _ => told == finding,
        };
        let mut told = self.findings.lock();
        let is_new = !told.iter().any(same);
        if is_new {
            told.push(finding.clone());
        }
        is_new
    }
}

/// A lease below this is allowed, and hardly ever meant: the clocks' drift and one round trip are a part of it that
/// counts, and a server that is busy for a moment ends it.
const SHORT_LEASE: Duration = Duration::from_millis(100);

impl RedisLockProvider {
    /// A provider with these options. Does no I/O.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] with every mistake in the options: a connection string that does not parse, a prefix with
    /// braces, a time out of its range, certificates that cannot be read.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a provider is made once, from options that nobody needs after it"
    )]
    pub fn new(options: RedisLockOptions) -> Result<Self, BuildError> {
        let backend = Backend::new(options.settings()?).map_err(BuildProblem::Options)?;
        let made = Self { backend, advised: Arc::default() };
        for finding in &made.backend.driver().connection.settings().findings {
            made.report(finding);
        }
        Ok(made)
    }

    /// Logs a finding, once.
    fn report(&self, finding: &RedisWarning) {
        if self.advised.is_new(finding) {
            self.advise(&finding.to_string());
        }
    }

    fn advise(&self, advice: &str) {
        let settings = self.backend.driver().connection.settings();
        telemetry::advise(&settings.server, &settings.prefix, advice);
    }

    /// Checks the server as [`check`](DistributedLockProvider::check) does, and says what works but may not be what
    /// one wants for locks: a server that may remove keys, a user without channels. `check` logs the same, once
    /// (feature `tracing`).
    ///
    /// Takes the lock `orchestrix-locking check` for a moment, over the connection that all locks use. Only that decides
    /// whether there is an error; what cannot be found out otherwise is a warning. On a node of a Redis Cluster names all
    /// over the slots are tried as well.
    ///
    /// It ends within twice the time-out for connecting and three times that for answers, in whatever runtime it is called.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    ///
    /// # Errors
    ///
    /// [`LockError::Unavailable`] if the server cannot be reached or does not answer; [`LockError::Backend`] if it
    /// refuses the user, a script or a key, also that of another node's slot; [`LockError::Closed`] after [`close`](DistributedLockProvider::close).
    pub async fn warnings(&self) -> Result<Vec<RedisWarning>, LockError> {
        check::check(&self.backend, &self.advised.info_refused).await
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

    /// How many names this process holds or waits for.
    pub fn len(&self) -> usize {
        self.backend.driver().len()
    }

    /// Whether this process neither holds nor waits for any name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many callers of this process wait at present, over all names, holders not counted.
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
        if options.configured_ttl() < SHORT_LEASE && !self.advised.short_lease.swap(true, SeqCst) {
            self.advise("a lock's ttl is below 100 ms: drift and a round trip to the server are taken off it");
        }
        let settings = self.backend.driver().connection.settings();
        if options.configured_auto_renew()
            && settings.response_timeout * 2 > options.configured_ttl()
            && !self.advised.long_response_timeout.swap(true, SeqCst)
        {
            let advice = "the response timeout is above half of a lock's ttl: a connection that dies silently may be \
                          replaced too late for the renewal that was lost with it";
            self.advise(advice);
        }
        DistributedLock::new(resource, options, Arc::clone(&self.backend) as Arc<dyn LockBackend>)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), LockError>> {
        Box::pin(async {
            for finding in self.warnings().await? {
                self.report(&finding);
            }
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // What is pending has to be sent, also if the runtime that drives the connection is not run any more.
            self.backend.driver().serve_from_here();
            self.backend.driver().close().await;
        })
    }
}

impl fmt::Debug for RedisLockProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.backend.driver().connection.settings();
        f.debug_struct("RedisLockProvider")
            .field("server", &settings.server)
            .field("key_prefix", &settings.prefix)
            .field("locks", &self.len())
            .finish_non_exhaustive()
    }
}
