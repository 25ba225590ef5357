//! [`check`](crate::DistributedLockProvider::check): whether the server grants locks, and [`RedisWarning`]: what else an
//! operator should know about it.

mod probes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::{Instant, timeout, timeout_at};

use super::backend::Backend;
use super::connection::{
    CHECKING, Connection, Failure, connect_apart, connection_closed, pool, pool_error, redact, timed_out,
};
use super::connection_string::{Server, Servers};
use super::driver::Driver;
use super::protocol::Refusal;
use super::settings::Settings;
use super::warning::RedisWarning;
use crate::backend::LockBackend;
use crate::{LockError, LockOptions, LockRequest, Resource};

/// A connection that locks use.
type LockConnection = Connection<Driver<Backend>>;

/// The resource that a check locks for a moment. That another process holds it is no error.
const PROBE: &str = "orchestrix-locking check";

/// Checks whether locks can be granted, and returns what an operator should know.
///
/// Only the connection that locks use decides whether there is an error: a lock is acquired and released over it. What cannot
/// be found out over another connection is a warning.
pub(super) async fn check(backend: &Arc<Backend>, refused: &AtomicBool) -> Result<Vec<RedisWarning>, LockError> {
    let connection = backend.driver().router.first();
    let settings = connection.settings();
    // Connecting, and one reply each to the acquire and the release. The connection has time-outs for these, which run in the
    // supervisor's runtime. This one runs in the caller's, so that the check also ends if the other one is not run.
    let longest = settings.connect_timeout + settings.response_timeout * 2;
    let probed = timeout(longest, async {
        probe(backend, Resource::try_from(PROBE)?).await?;
        let router = &backend.driver().router;
        if router.is_cluster() {
            let mut names = probes::names(connection.keys());
            // As far as is known: it may be served since.
            names.extend(router.unserved_slot().and_then(|slot| probes::name_in(connection.keys(), slot)));
            try_join_all(names.into_iter().map(|name| probe(backend, name))).await?;
        }
        Ok(())
    });
    probed.await.unwrap_or_else(|_| Err(Failure::new(settings, CHECKING, timed_out()).to_error()))?;
    let mut warnings = settings.warnings.clone();
    // In a cluster each node is asked. What several of them say is said once.
    let servers = backend.driver().router.servers();
    let each = servers.iter().map(|connection| warnings_about_server(backend, connection, refused));
    for warning in join_all(each).await.into_iter().flatten() {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    Ok(warnings)
}

/// Acquires a lock and releases it.
async fn probe(backend: &Arc<Backend>, resource: Resource) -> Result<(), LockError> {
    let options = LockOptions::default().ttl(Duration::from_secs(5)).auto_renew(false);
    // That another process holds it, since it checks at the same time, also shows that the server works.
    let request = LockRequest::new(resource).options(options);
    if let Some(lease) = Arc::clone(backend).acquire(request).await? {
        lease.release().await?;
    }
    Ok(())
}

/// What the server says of itself, over the lock connection and another one.
async fn warnings_about_server(
    backend: &Arc<Backend>,
    connection: &LockConnection,
    refused: &AtomicBool,
) -> Vec<RedisWarning> {
    let shown = |value: &str| redact(connection.settings(), value);
    let facts = connection.facts();
    let mut warnings = Vec::new();
    if connection.is_publishing_refused() {
        warnings.push(match &facts.refusal {
            Some(Refusal::Other(why)) => RedisWarning::MessagesRefused { why: why.clone() },
            Some(Refusal::Channels) | None => RedisWarning::NoMessages,
        });
    }
    // Each refusal is a line in the server's ACL LOG, so INFO is not sent after the first one.
    if refused.load(Relaxed) {
        warnings.extend(old_server(facts.version.as_deref(), shown));
        warnings.push(RedisWarning::NotPermitted);
        return warnings;
    }
    let until = Instant::now() + connection.settings().connect_timeout + connection.settings().response_timeout;
    match info(backend, connection, until).await {
        Ok(info) => {
            let is_cluster = backend.driver().router.is_cluster();
            warnings.extend(reached(&info, is_cluster));
            if !is_cluster && reaches_several(connection, &info, until).await {
                warnings.push(RedisWarning::SeveralServers);
            }
            warnings.extend(old_server(field(&info, "redis_version").or(facts.version.as_deref()), shown));
            warnings.extend(eviction(&info, shown));
            warnings.extend(replication(&info, &connection.settings().servers));
            warnings.extend(few_replicas(&info, connection.settings()));
        }
        Err(failure) => {
            warnings.extend(old_server(facts.version.as_deref(), shown));
            if failure.code() == Some("NOPERM") {
                refused.store(true, Relaxed);
                warnings.push(RedisWarning::NotPermitted);
            } else {
                warnings.push(RedisWarning::Unknown { what: EVICTION.to_owned(), why: failure.reason().to_string() });
            }
        }
    }
    warnings
}

/// The server's reply to `INFO`, over a connection of the pool.
async fn info(backend: &Arc<Backend>, connection: &LockConnection, until: Instant) -> Result<String, Failure> {
    let settings = connection.settings();
    let failure = |error| Failure::new(settings, CHECKING, error);
    let reply = async {
        let server = connection.node().ok_or_else(connection_closed)?;
        let pool = backend.pool(&server, || pool(settings, &server))?;
        let mut connection = pool.get().await.map_err(pool_error)?;
        ::redis::cmd("INFO").query_async(&mut connection).await
    };
    match timeout_at(until, reply).await {
        Ok(answer) => answer.map_err(failure),
        Err(_) => Err(Failure::new(settings, CHECKING, timed_out())),
    }
}

/// Whether several servers are behind the address: two more connections than the one of this reply have reached two of them.
///
/// One connection may be to a server whose address another one has since. So the second and the third have to differ as well.
async fn reaches_several(connection: &LockConnection, info: &str, until: Instant) -> bool {
    let settings = connection.settings();
    let (Some(first), Some(server @ Server::Tcp { .. })) = (field(info, "run_id"), connection.node()) else {
        return false;
    };
    let new_run_id = async || {
        let mut connection = connect_apart(settings, &server, Duration::ZERO).await.ok()?;
        let info: String = ::redis::cmd("INFO").arg("server").query_async(&mut connection).await.ok()?;
        field(&info, "run_id").map(str::to_owned)
    };
    let differ = async {
        let Some(second) = new_run_id().await else { return false };
        second != first && new_run_id().await.is_some_and(|third| third != second)
    };
    timeout_at(until, differ).await.unwrap_or(false)
}

/// What is not known without a reply to `INFO`.
const EVICTION: &str = "whether the server removes keys, and with them locks, when its memory is full";

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

/// What is behind the address, where it is something else than the lock connection has found there.
fn reached(info: &str, is_cluster: bool) -> impl Iterator<Item = RedisWarning> {
    let is_hidden = !is_cluster && field(info, "cluster_enabled") == Some("1");
    let is_replica = field(info, "role") == Some("slave");
    [(is_hidden, RedisWarning::HiddenCluster), (is_replica, RedisWarning::Replica)]
        .into_iter()
        .filter_map(|(is_so, warning)| is_so.then_some(warning))
}

fn old_server(version: Option<&str>, shown: impl Fn(&str) -> String) -> Option<RedisWarning> {
    let version = version?;
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    ((numbers.next(), numbers.next()) < (Some(6), Some(2))).then(|| RedisWarning::OldServer { version: shown(version) })
}

fn eviction(info: &str, shown: impl Fn(&str) -> String) -> Option<RedisWarning> {
    // A server without a limit on its memory evicts nothing, under any policy.
    let bounded = field(info, "maxmemory").is_some_and(|bytes| bytes != "0");
    let policy = field(info, "maxmemory_policy").filter(|policy| bounded && *policy != "noeviction")?;
    Some(RedisWarning::MayEvict { policy: shown(policy) })
}

fn connected_replicas(info: &str) -> usize {
    field(info, "connected_slaves").and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn few_replicas(info: &str, settings: &Settings) -> Option<RedisWarning> {
    let (connected, needed) = (connected_replicas(info), settings.confirmation?.replicas);
    (connected < needed).then_some(RedisWarning::FewReplicas { connected, needed })
}

fn replication(info: &str, servers: &Servers) -> Option<RedisWarning> {
    let replicas = connected_replicas(info);
    let may_fail_over = replicas > 0 || !matches!(servers, Servers::One(_));
    // The field is there only while replicas are needed to write.
    let needs_replicas = field(info, "min_slaves_good_slaves").is_some();
    (may_fail_over && !needs_replicas).then_some(RedisWarning::AsynchronousReplication { replicas })
}

#[cfg(test)]
mod tests {
    use super::super::connection_string::Server;
    use super::*;

    fn warnings(info: &str, shown: fn(&str) -> String) -> Vec<RedisWarning> {
        old_server(field(info, "redis_version"), shown).into_iter().chain(eviction(info, shown)).collect()
    }

    #[test]
    fn an_old_version_and_an_eviction_policy_are_warnings() {
        let of = |version: &str, memory: &str, policy: &str| {
            warnings(
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
        assert_eq!(warnings("nonsense", str::to_owned), []);
    }

    #[test]
    fn replicas_that_need_not_receive_writes_are_a_warning() {
        let server = Server::Tcp { host: "h".to_owned(), port: 1, tls: false };
        let (one, any) = (Servers::One(server.clone()), Servers::AnyOf(vec![server]));
        let warning = |replicas| Some(RedisWarning::AsynchronousReplication { replicas });
        let with = |replicas| format!("role:master\r\nconnected_slaves:{replicas}\r\n");
        let safe = "connected_slaves:1\r\nmin_slaves_good_slaves:1\r\n";
        for (info, of_one, of_several) in [
            (with("0"), None, warning(0)),
            (with("2"), warning(2), warning(2)),
            (with("x"), None, warning(0)),
            (safe.to_owned(), None, None),
        ] {
            assert_eq!((replication(&info, &one), replication(&info, &any)), (of_one, of_several), "{info}");
        }
    }
}
