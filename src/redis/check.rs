//! What [`check`](crate::DistributedLockProvider::check) looks at, and what it finds.

mod probes;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::time::{Instant, timeout};

use super::backend::Backend;
use super::connection::{Condition, Failure, hide, made_none, pool};
use super::protocol::Publishing;
use crate::backend::LockBackend;
use crate::{LockError, LockOptions, LockRequest, Resource};

/// What a check locks. It is taken for a moment; that another process holds it is no fault.
const PROBE: &str = "orchestrix-locking check";

/// Something about a server that works, and may not be what its operator wants for locks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisWarning {
    /// The server removes keys when its memory is full, and may remove locks.
    MayEvict {
        /// The server's `maxmemory-policy`.
        policy: String,
    },
    /// The user has no permission for the channels by which waiting locks are told.
    NoMessages,
    /// The server is older than the oldest that has everything that is used here, 6.2.
    OldServer {
        /// The server's version.
        version: String,
    },
    /// The user may not ask the server for its settings (`INFO`), so that nothing is known of them. It is not asked
    /// again: each refusal is a line in the server's `ACL LOG`.
    NotPermitted,
    /// The server is a node of a Redis Cluster, which is not supported. Locks work whose names' slots are on this node; the
    /// others fail with `MOVED`. A check tries names all over the slots, and fails if one of them does.
    Cluster,
    /// A time-out of the connection string is longer than the longest that is allowed, which is used instead.
    LongTimeout {
        /// The option's name, as it stands in the string.
        option: String,
        /// The time-out that is used.
        used: Duration,
    },
    /// Something could not be found out. Locks work all the same.
    Unknown {
        /// What is not known, as the end of a sentence.
        what: String,
        /// Why it is not.
        why: String,
    },
}

impl fmt::Display for RedisWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayEvict { policy } => write!(
                f,
                "the server removes keys when its memory is full (maxmemory-policy {policy}), and with them locks that \
                 are held: use noeviction"
            ),
            Self::NoMessages => f.write_str(
                "the user has no permission for the channels of the key prefix: waiting locks request again and again \
                 instead of being told",
            ),
            Self::OldServer { version } => {
                write!(f, "the server's version is {version}: waiting for a lock needs 6.2 or newer")
            }
            Self::NotPermitted => {
                f.write_str("the user has no permission for INFO: whether the server removes keys is not known")
            }
            Self::Cluster => f.write_str(
                "the server is a node of a Redis Cluster, which is not supported: locks whose slots are on other nodes \
                 fail with MOVED",
            ),
            Self::LongTimeout { option, used } => write!(
                f,
                "{option} of the connection string is longer than the longest that is allowed, {used:?}, which is used"
            ),
            Self::Unknown { what, why } => write!(f, "it is not known {what}: {why}"),
        }
    }
}

/// Whether locks can be granted, and what an operator should know.
///
/// Only the connection that locks use decides whether there is an error: a lock is taken over it and freed. What is
/// looked at beside that, over another connection, becomes a finding where it cannot be found out.
pub(super) async fn check(backend: &Arc<Backend>, refused: &AtomicBool) -> Result<Vec<RedisWarning>, LockError> {
    let connection = &backend.driver().connection;
    let settings = connection.settings();
    let began = Instant::now();
    // Connecting, and one answer each for taking and freeing it. The link sees to it that each ends in time, in its
    // own runtime; here it is the caller's that counts.
    let longest = settings.connect_timeout + settings.response_timeout * 2;
    let decided = timeout(longest, async {
        probe(backend, Resource::try_from(PROBE)?).await?;
        if connection.facts().in_cluster {
            try_join_all(probes::names(connection.keys()).into_iter().map(|name| probe(backend, name))).await?;
        }
        Ok(())
    });
    decided.await.unwrap_or_else(|_| Err(Failure::too_slow(settings, "checking", began).to_error()))?;
    let mut findings = settings.findings.clone();
    findings.extend(look(backend, refused).await);
    if matches!(connection.condition(), Condition::Up { publishing: Publishing::Refused }) {
        findings.push(RedisWarning::NoMessages);
    }
    Ok(findings)
}

/// Takes a lock and frees it.
async fn probe(backend: &Arc<Backend>, resource: Resource) -> Result<(), LockError> {
    let options = LockOptions::default().ttl(Duration::from_secs(5)).auto_renew(false);
    // Another process that checks at the same time is as good an answer.
    let request = LockRequest::new(resource).options(options);
    if let Some(lease) = Arc::clone(backend).acquire(request).await? {
        lease.release().await?;
    }
    Ok(())
}

/// What the server says of itself.
async fn look(backend: &Arc<Backend>, refused: &AtomicBool) -> Vec<RedisWarning> {
    let connection = &backend.driver().connection;
    let shown = |value: &str| hide(connection.settings().info.redis_settings(), value);
    let facts = connection.facts();
    let mut findings = Vec::new();
    if facts.in_cluster {
        findings.push(RedisWarning::Cluster);
    }
    // Each refusal is a line in the server's ACL LOG, so one is enough.
    if refused.load(Relaxed) {
        findings.extend(old(facts.version.as_deref(), shown));
        findings.push(RedisWarning::NotPermitted);
        return findings;
    }
    match info(backend).await {
        Ok(info) => {
            findings.extend(old(field(&info, "redis_version").or(facts.version.as_deref()), shown));
            findings.extend(evicts(&info, shown));
        }
        Err(failure) => {
            findings.extend(old(facts.version.as_deref(), shown));
            if failure.code() == Some("NOPERM") {
                refused.store(true, Relaxed);
                findings.push(RedisWarning::NotPermitted);
            } else {
                findings.push(RedisWarning::Unknown { what: EVICTION.to_owned(), why: failure.reason().to_string() });
            }
        }
    }
    findings
}

/// The server's answer to `INFO`, over a connection of the pool.
async fn info(backend: &Arc<Backend>) -> Result<String, Failure> {
    let settings = backend.driver().connection.settings();
    let began = Instant::now();
    let told = |error| Failure::new(settings, "checking", error, began);
    let asked = async {
        let pool = backend.pool(|| pool(settings))?;
        let mut connection = pool.get().await.map_err(made_none)?;
        ::redis::cmd("INFO").query_async(&mut connection).await
    };
    match timeout(settings.connect_timeout + settings.response_timeout, asked).await {
        Ok(answer) => answer.map_err(told),
        Err(_) => Err(Failure::too_slow(settings, "checking", began)),
    }
}

/// What is said of a server without an answer to `INFO`.
const EVICTION: &str = "whether the server removes keys, and with them locks, when its memory is full";

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

fn old(version: Option<&str>, shown: impl Fn(&str) -> String) -> Option<RedisWarning> {
    let version = version?;
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    ((numbers.next(), numbers.next()) < (Some(6), Some(2))).then(|| RedisWarning::OldServer { version: shown(version) })
}

fn evicts(info: &str, shown: impl Fn(&str) -> String) -> Option<RedisWarning> {
    // Without a bound on its memory a server removes nothing, whatever its policy.
    let bounded = field(info, "maxmemory").is_some_and(|bytes| bytes != "0");
    let policy = field(info, "maxmemory_policy").filter(|policy| bounded && *policy != "noeviction")?;
    Some(RedisWarning::MayEvict { policy: shown(policy) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(info: &str, shown: fn(&str) -> String) -> Vec<RedisWarning> {
        old(field(info, "redis_version"), shown).into_iter().chain(evicts(info, shown)).collect()
    }

    #[test]
    fn a_servers_account_is_understood() {
        let of = |version: &str, memory: &str, policy: &str| {
            findings(
                &format!(
                    "# Server\r\nredis_version:{version}\r\nmaxmemory_human:0B\r\nmaxmemory:{memory}\r\nmaxmemory_policy:{policy}\r\n"
                ),
                str::to_owned,
            )
        };
        assert_eq!(of("7.0.15", "0", "allkeys-lru"), []);
        assert_eq!(of("7.0.15", "1000", "noeviction"), []);
        assert_eq!(of("6.2.0", "1000", "volatile-lru"), [RedisWarning::MayEvict { policy: "volatile-lru".into() }]);
        assert_eq!(of("6.0.16", "0", "noeviction"), [RedisWarning::OldServer { version: "6.0.16".into() }]);
        assert_eq!(of("10.1", "0", "noeviction"), []);
        assert_eq!(findings("nonsense", str::to_owned), []);
    }
}
