//! [`Settings`]: checked options, in the form that a connection is made from.

use std::fmt;
use std::time::Duration;

use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{AsyncConnectionConfig, ConnectionInfo, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisResult};

use super::RedisLockOptions;
use super::connection_string::{self, Credentials, Given, Server, Servers};
use super::options::Confirmation;
use super::tls::{self, Certificates};
use super::warning::RedisWarning;
use crate::{BuildError, BuildProblem, LockError};

/// The checked options of a provider.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) servers: Servers,
    /// Those of the server.
    pub(crate) credentials: Credentials,
    pub(crate) database: i64,
    tcp: TcpSettings,
    certificates: Certificates,
    pub(crate) prefix: String,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) max_waiters_in_total: usize,
    pub(super) confirmation: Option<Confirmation>,
    /// Options of the string that could not be used as they are.
    pub(crate) warnings: Vec<RedisWarning>,
    /// What errors call the server: `host:port`, `unix:/path`, several of these, a service and its sentinels,
    /// or a cluster and its named nodes.
    pub(crate) server: String,
    /// What names the nodes of the cluster, if this is one that was found in that way.
    pub(crate) announced_by: Option<String>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);
const LONGEST_PREFIX: usize = 128;
const MOST_REPLICAS: usize = 16;

/// The shortest claim lease. A process that stands still for a second or two then loses nothing.
const SHORTEST_CLAIM: Duration = Duration::from_secs(3);

impl Settings {
    /// The claim lease: how long a grant by notification lasts at most until its owner confirms it. A live waiter can confirm it
    /// in that time even if its connection broke at that moment: it notices that after a response time-out, connects, loads
    /// the scripts, and sends the call.
    pub(crate) fn claim_lease(&self) -> Duration {
        (self.connect_timeout + 3 * self.response_timeout).max(SHORTEST_CLAIM)
    }

    /// The time-outs of a connection.
    pub(crate) fn connection_config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.response_timeout))
    }

    /// How to connect to one of the servers.
    pub(crate) fn info(&self, server: &Server) -> RedisResult<ConnectionInfo> {
        // The library's name is not set, so that a user whose permissions are those of locks needs none for CLIENT.
        let redis = RedisConnectionInfo::default()
            .set_db(self.database)
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        self.info_with(server, redis, &self.credentials)
    }

    /// How to connect to a sentinel with these credentials. Sentinels need not speak RESP3.
    pub(crate) fn sentinel_info(&self, sentinel: &Server, credentials: &Credentials) -> RedisResult<ConnectionInfo> {
        self.info_with(sentinel, RedisConnectionInfo::default().set_skip_set_lib_name(), credentials)
    }

    fn info_with(
        &self,
        server: &Server,
        mut redis: RedisConnectionInfo,
        credentials: &Credentials,
    ) -> RedisResult<ConnectionInfo> {
        if let Some(user) = &credentials.user {
            redis = redis.set_username(user);
        }
        if let Some(password) = &credentials.password {
            redis = redis.set_password(password);
        }
        if self.servers.use_tls() {
            tls::ensure_crypto_provider();
        }
        let info = self.certificates.address(server).and_then(tls::info);
        let info = info.ok_or((ErrorKind::InvalidClientConfig, "no connection can be made to this address"))?;
        Ok(info.set_tcp_settings(self.tcp.clone()).set_redis_settings(redis))
    }

    /// Those of one node of the cluster.
    pub(crate) fn of_node(&self, node: Server) -> Self {
        let announced_by = Some(self.server.clone());
        Self { server: node.to_string(), servers: Servers::One(node), announced_by, ..self.clone() }
    }

    /// The passwords, which no text may show.
    pub(crate) fn passwords(&self) -> [Option<&str>; 2] {
        let of_sentinels = match &self.servers {
            Servers::Sentinel(sentinel) => sentinel.credentials.password.as_deref(),
            Servers::One(_) | Servers::AnyOf(_) | Servers::Cluster(_) => None,
        };
        [self.credentials.password.as_deref(), of_sentinels]
    }
}

impl RedisLockOptions {
    /// Checks everything. Does no I/O.
    ///
    /// # Errors
    ///
    /// A [`BuildError`] with every mistake.
    pub(crate) fn settings(&self) -> Result<Settings, BuildError> {
        let mut problems: Vec<BuildProblem> =
            self.out_of_range().into_iter().flatten().map(BuildProblem::Options).collect();
        let target = match connection_string::parse(&self.connection_string) {
            Ok(target) => Some(target),
            Err(mistakes) => {
                problems.extend(mistakes.into_iter().map(BuildProblem::from));
                None
            }
        };
        // If the string does not parse it is not known whether TLS is used; then only the certificates are checked.
        let tls = target.as_ref().is_none_or(|target| target.servers.use_tls());
        problems.extend(self.certificates.mistakes(tls).into_iter().map(BuildProblem::Options));
        BuildError::from_problems(problems)?;
        // Not reached: without a target the problems above were returned.
        let target = target.ok_or_else(|| BuildProblem::ConnectionString {
            part: "text".to_owned(),
            reason: "no connection can be made of it".to_owned(),
        })?;
        // An option of the string that a setter overrides causes no warning.
        let unless_set = |set: Option<Duration>, given: Option<Given>| given.filter(|_| set.is_none());
        let connect = unless_set(self.connect_timeout, target.connect_timeout);
        let response = unless_set(self.response_timeout, target.response_timeout);
        let time = |given: Option<Given>| given.map(|given| given.time);
        let connect_timeout = self.connect_timeout.or(time(connect)).unwrap_or(CONNECT_TIMEOUT);
        let response_timeout = self.response_timeout.or(time(response)).unwrap_or(RESPONSE_TIMEOUT);
        let shortened = [connect, response, target.keep_alive].into_iter().flatten().filter(|given| given.shortened);
        let warnings = shortened
            .map(|Given { option, time, .. }| RedisWarning::LongTimeout { option: option.to_owned(), used: time })
            .collect();
        Ok(Settings {
            server: target.servers.to_string(),
            announced_by: None,
            servers: target.servers,
            credentials: target.credentials,
            database: target.database,
            tcp: tcp(target.keep_alive.map(|given| given.time), response_timeout),
            certificates: self.certificates.clone(),
            prefix: self.key_prefix.clone(),
            connect_timeout,
            response_timeout,
            close_timeout: self.close_timeout,
            max_waiters_in_total: self.max_waiters_in_total,
            confirmation: self.confirmation,
            warnings,
        })
    }

    fn out_of_range(&self) -> [Option<LockError>; 6] {
        let short = |given| within(Duration::from_millis(10), Duration::from_secs(60), "10ms to 60s", given);
        let long = |given| within(Duration::ZERO, Duration::from_secs(600), "0 to 10min", given);
        [
            self.connect_timeout.and_then(short).map(|wrong| wrong.into_error("connect_timeout")),
            self.response_timeout.and_then(short).map(|wrong| wrong.into_error("response_timeout")),
            long(self.close_timeout).map(|wrong| wrong.into_error("close_timeout")),
            wrong_prefix(&self.key_prefix),
            self.confirmation.and_then(|Confirmation { replicas, .. }| {
                (!(1..=MOST_REPLICAS).contains(&replicas))
                    .then(|| LockError::invalid_options("confirm_replicas", replicas.to_string(), "1 to 16 replicas"))
            }),
            self.confirmation
                .and_then(|Confirmation { wait, .. }| {
                    within(Duration::from_millis(1), Duration::from_secs(60), "1ms to 60s", wait)
                })
                .map(|wrong| wrong.into_error("confirm_replicas")),
        ]
    }
}

/// Commands are sent at once (no delay), and the system notices a dead peer also while nothing is sent (keep-alive).
fn tcp(keep_alive: Option<Duration>, response_timeout: Duration) -> TcpSettings {
    const IDLE: Duration = Duration::from_secs(10);
    let probes = TcpKeepalive::new().with_time(keep_alive.unwrap_or(IDLE));
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios", windows))]
    let probes = probes.with_interval(Duration::from_secs(5)).with_retries(3);
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(probes);
    with_user_timeout(tcp, response_timeout)
}

/// How long sent bytes may stay unacknowledged. Not below the response time-out, which decides about a connection that is in
/// use.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn with_user_timeout(tcp: TcpSettings, response_timeout: Duration) -> TcpSettings {
    const SHORTEST: Duration = Duration::from_secs(10);
    tcp.set_user_timeout(response_timeout.max(SHORTEST))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn with_user_timeout(tcp: TcpSettings, _: Duration) -> TcpSettings {
    tcp
}

struct OutOfRange {
    given: String,
    allowed: &'static str,
}

impl OutOfRange {
    fn into_error(self, option: &'static str) -> LockError {
        LockError::invalid_options(option, self.given, self.allowed)
    }
}

fn within(least: Duration, most: Duration, allowed: &'static str, given: Duration) -> Option<OutOfRange> {
    (!(least..=most).contains(&given)).then(|| OutOfRange { given: format!("{given:?}"), allowed })
}

fn wrong_prefix(prefix: &str) -> Option<LockError> {
    let given = if prefix.len() > LONGEST_PREFIX {
        format!("{} bytes long", prefix.len())
    } else if prefix.chars().any(|c| c.is_control() || matches!(c, '{' | '}')) {
        format!("{prefix:?}")
    } else {
        return None;
    };
    let allowed = "0 to 128 bytes without control characters, and without '{' and '}', which would move keys to other \
                   slots of a cluster";
    Some(OutOfRange { given, allowed }.into_error("key_prefix"))
}

/// Shows neither credentials nor keys.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("server", &self.server)
            .field("tls", &self.servers.use_tls())
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("close_timeout", &self.close_timeout)
            .finish_non_exhaustive()
    }
}
