//! What [`check`](crate::DistributedLockProvider::check) looks at, and what it finds.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::RedisResult;
use tokio::time::Instant;

use super::backend::Backend;
use super::link::{Condition, Failure, hide, made_none, pool};
use super::script::Publishing;
use crate::provider::{LockBackend, Wait};
use crate::{LockError, LockOptions, Resource};

/// What a check locks. A lock of this name may be granted to nobody at a check, and is taken for a moment.
const PROBE: &str = "orchestrix-locking check";

/// Something about a server that works, and may not be what its operator wants for locks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
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
    /// The user may not ask the server for its settings (`INFO`), so that nothing is known of them.
    NotPermitted,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MayEvict { policy } => write!(
                f,
                "the server removes keys when its memory is full (maxmemory-policy {policy}), and with them locks that \
                 are held: use noeviction"
            ),
            Self::NoMessages => f.write_str(
                "the user has no permission for the channels of the key prefix: waiting locks ask again and again \
                 instead of being told",
            ),
            Self::OldServer { version } => {
                write!(f, "the server's version is {version}: waiting for a lock needs 6.2 or newer")
            }
            Self::NotPermitted => {
                f.write_str("the user has no permission for INFO: whether the server removes keys is not known")
            }
        }
    }
}

/// Takes a lock and frees it, over the connection that all locks use, and reads the server's settings.
pub(super) async fn check(backend: &Arc<Backend>) -> Result<Vec<Finding>, LockError> {
    let resource = Resource::try_from(PROBE)?;
    let options = LockOptions::default().ttl(Duration::from_secs(5)).auto_renew(false);
    // Somebody else who checks at the same time is as good an answer.
    if let Some(guard) = Arc::clone(backend).acquire(resource, options, Wait::No).await? {
        guard.release().await?;
    }
    let locks = backend.locks();
    let settings = locks.link.settings();
    let began = Instant::now();
    let told = |error| Failure::new(settings, "checking", error, began).to_error();
    let pool = backend.pool(|| pool(settings)).map_err(told)?;
    let mut connection = pool.get().await.map_err(made_none).map_err(told)?;
    let info: RedisResult<String> = ::redis::cmd("INFO").query_async(&mut connection).await;
    let mut findings = match info {
        Ok(info) => findings(&info, |value| hide(settings.info.redis_settings(), value)),
        Err(error) if error.code() == Some("NOPERM") => vec![Finding::NotPermitted],
        Err(error) => return Err(told(error)),
    };
    if matches!(locks.link.condition(), Condition::Up { publishing: Publishing::Refused }) {
        findings.push(Finding::NoMessages);
    }
    Ok(findings)
}

/// What a server's own account of itself says.
fn findings(info: &str, shown: impl Fn(&str) -> String) -> Vec<Finding> {
    let field = |name: &str| {
        info.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .filter(|it| !it.is_empty())
    };
    let mut findings = Vec::new();
    if let Some(version) = field("redis_version") {
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        if (numbers.next(), numbers.next()) < (Some(6), Some(2)) {
            findings.push(Finding::OldServer { version: shown(version) });
        }
    }
    // Without a bound on its memory a server removes nothing, whatever its policy.
    let bounded = field("maxmemory").is_some_and(|bytes| bytes != "0");
    if let Some(policy) = field("maxmemory_policy").filter(|policy| bounded && *policy != "noeviction") {
        findings.push(Finding::MayEvict { policy: shown(policy) });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(of("6.2.0", "1000", "volatile-lru"), [Finding::MayEvict { policy: "volatile-lru".into() }]);
        assert_eq!(of("6.0.16", "0", "noeviction"), [Finding::OldServer { version: "6.0.16".into() }]);
        assert_eq!(of("10.1", "0", "noeviction"), []);
        assert_eq!(findings("nonsense", str::to_owned), []);
    }
}
