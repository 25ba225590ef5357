//! [`RedisLockOptions`]: which server, and under which names.

use std::fmt;
use std::time::Duration;

use super::tls::{Certificates, Identity};
use crate::backend::DEFAULT_MOST;

/// Where the Redis or Valkey server is, and how it is used.
///
/// Setters only note the value. Everything is checked at once, without any I/O, where a provider is made of the
/// options: a [`BuildError`](crate::BuildError) names every mistake. No password is ever part of an error, or of what
/// [`Debug`] prints.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use orchestrix_locking::RedisLockOptions;
///
/// let options = RedisLockOptions::default()
///     .connection_string("rediss://orders:secret@redis.example.org:6379/2")
///     .key_prefix("orders:lock:")
///     .response_timeout(Duration::from_millis(500));
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct RedisLockOptions {
    pub(super) connection_string: String,
    pub(super) key_prefix: String,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) response_timeout: Option<Duration>,
    pub(super) close_timeout: Duration,
    pub(super) max_waiters_in_total: usize,
    pub(super) certificates: Certificates,
}

impl RedisLockOptions {
    /// The server and the credentials, as a URL or in the form of StackExchange.Redis. `localhost:6379` by default.
    /// White space around it is dropped.
    ///
    /// # URLs
    ///
    /// - `redis://[user[:password]@]host[:port][/db][?parameters]`; `rediss` for TLS. The schemes `valkey` and
    ///   `valkeys` mean the same. The port is 6379 unless it is given, also with TLS.
    /// - `unix:///path[?parameters]`, the same as `unix:/path` and `redis+unix:///path`, for a Unix socket.
    ///
    /// An IPv6 address stands in brackets. The user and the password are percent-encoded: `/`, `?`, `#`, `@` and `%`
    /// have to be. A password alone is `redis://:password@host`. Parameters are `db`, `connectTimeout` and
    /// `responseTimeout` (both in milliseconds), `protocol` (only `3`) and, for a Unix socket, `user` and `pass`.
    /// `#insecure`, with which some clients accept any certificate, is refused. `redis+socket` and `redis-socket` are
    /// read as `unix`.
    ///
    /// A URL may be shared with clients of other makes. Of their parameters, which are read in any case:
    ///
    /// | parameters | |
    /// | --- | --- |
    /// | `database` | as `db` |
    /// | `dial_timeout`, `socket_connect_timeout` | as `connectTimeout`, in seconds or with a unit: `5`, `2.5`, `500ms` |
    /// | `commandTimeout` | as `responseTimeout`, in milliseconds |
    /// | `read_timeout`, `socket_timeout` | as `responseTimeout`, in seconds or with a unit |
    /// | `timeout` | as `responseTimeout`, only with a unit, since clients differ in it: `5s` |
    /// | `username`, `password` | as `user` and `pass`, for a Unix socket |
    /// | `family` | only `0` |
    /// | `ssl`, `tls`, `ssl_check_hostname`, `rejectUnauthorized` | only what the scheme says: `true` with TLS, `false` without |
    /// | `ssl_cert_reqs`, `verifyPeer` | only `required`, `CERT_REQUIRED`, `full` and `true`, with TLS |
    /// | `skip_verify`, `startTls` | only `false` |
    /// | `allowUsernameInURI`, `autoResubscribe`, `clientName`, `client_name`, `connectionName`, `conn_max_idle_time`, `conn_max_lifetime`, `conn_max_lifetime_jitter`, `decode_responses`, `dialer_retries`, `dialer_retry_timeout`, `enableOfflineQueue`, `enableReadyCheck`, `encoding`, `encoding_errors`, `health_check_interval`, `idle_check_frequency`, `idle_timeout`, `keepAlive`, `lazyConnect`, `lib_name`, `lib_version`, `libraryName`, `libraryVersion`, `max_active_conns`, `max_concurrent_dials`, `max_conn_age`, `max_connections`, `max_idle_conns`, `max_retries`, `max_retry_backoff`, `maxRetriesPerRequest`, `min_idle_conns`, `min_retry_backoff`, `noDelay`, `pool_fifo`, `pool_size`, `pool_timeout`, `reconnect_attempts`, `retry_on_error`, `retry_on_timeout`, `socket_keepalive`, `write_timeout` | accepted without effect |
    /// | `ssl_ca_certs`, `ssl_ca_data`, `ssl_ca_path`, `ssl_certfile`, `ssl_keyfile`, `ssl_ciphers`, `ssl_min_version`, `keyPrefix`, `prefix`, `master_name`, `sentinelMasterId`, `addr`, `node` | refused, since without effect they would not do what was relied on |
    ///
    /// Where several set the same time-out, the one that stands first in this table counts, and our own before all.
    ///
    /// # The form of StackExchange.Redis
    ///
    /// `host[:port]`, then options after commas: `redis.example.org,ssl=true,password=…,defaultDatabase=2`. Names are
    /// read in any case, spaces around commas are dropped. The port is 6379 unless it is given, and 6380 with
    /// `ssl=true`. A server that begins with `!` is the path of a Unix socket. The server comes before the password. A
    /// password may have `=` in it; one with a comma needs a URL.
    ///
    /// | options | |
    /// | --- | --- |
    /// | `user`, `password`, `ssl`, `defaultDatabase` | as they say |
    /// | `connectTimeout` | [`connect_timeout`](Self::connect_timeout), in milliseconds |
    /// | `responseTimeout`, else `asyncTimeout`, else `syncTimeout` | [`response_timeout`](Self::response_timeout), in milliseconds |
    /// | `keepAlive` | after how many idle seconds the system probes the connection; 10 by default |
    /// | `protocol` | only `3` or `resp3` |
    /// | `sslHost` | only the host itself |
    /// | `sslProtocols` | only `none`, `tls12` and `tls12\|tls13`: TLS 1.2 and 1.3 are spoken |
    /// | `checkCertificateRevocation`, `highIntegrity` | only `false` |
    /// | `proxy` | only `none` |
    /// | `maintNotifications` | only `disabled` and `auto` |
    /// | `abortConnect`, `allowAdmin`, `configChannel`, `configCheckSeconds`, `connectRetry`, `highPriorityThreads`, `idleTimeout`, `maintPostEventRelaxed`, `maintRelaxedTimeout`, `maintRelaxedWindowMax`, `name`, `poolsize`, `preheat`, `preserveAsyncOrder`, `resolveDns`, `setlib`, `tcpKeepAlive`, `tiebreaker`, `topologyRefreshSeconds`, `tryit`, `version`, `writeBuffer` | accepted without effect |
    /// | `serviceName`, `sentinelUser`, `sentinelPassword`, `channelPrefix`, `prefix`, `defaults`, `tunnel`, `$COMMAND`, a second server | refused, since without effect they would not do what was relied on |
    ///
    /// # Both
    ///
    /// A time-out above 60 s becomes 60 s, and a `keepAlive` above 32 767 s that. It is logged and a
    /// [`RedisWarning`](crate::RedisWarning::LongTimeout). Shorter than 10 ms it is an error. Any other option, and any that is given
    /// twice, is an error; its name is repeated unless it may be the rest of a password.
    #[doc(alias = "ConnectionString")]
    pub fn connection_string(mut self, connection_string: impl Into<String>) -> Self {
        self.connection_string = connection_string.into();
        self
    }

    /// What every key begins with: the lock of a resource is the key `prefix + resource`. `orchestrix:lock:` by
    /// default; up to 128 bytes, also none, without control characters and without `{` and `}`, which would move keys
    /// to other slots of a cluster.
    ///
    /// Use one prefix for one lock. Where a prefix begins with another one, two names can be the same key: these locks
    /// exclude each other, but their waiters poll, since no release of the one notifies the other.
    #[doc(alias = "KeyPrefix")]
    pub fn key_prefix(mut self, key_prefix: impl Into<String>) -> Self {
        self.key_prefix = key_prefix.into();
        self
    }

    /// How long it may take to connect, TLS and authentication included. 2 s by default, 10 ms to 60 s. Takes
    /// precedence over the connection string.
    pub fn connect_timeout(mut self, connect_timeout: Duration) -> Self {
        self.connect_timeout = Some(connect_timeout);
        self
    }

    /// How long the server may take to answer one command before the connection is taken for dead and replaced. 1 s by
    /// default, 10 ms to 60 s. Takes precedence over the connection string.
    ///
    /// It is also how long an acquire, an extension or a release waits at least for another connection while the server
    /// answers that it is a replica or is loading its data, and how long the end of a runtime waits at most for releases
    /// that are not answered.
    pub fn response_timeout(mut self, response_timeout: Duration) -> Self {
        self.response_timeout = Some(response_timeout);
        self
    }

    /// How long closing waits for releases that the server has not answered yet. 5 s by default, 0 to 10 min. What is
    /// not released by then ends with its lease.
    pub fn close_timeout(mut self, close_timeout: Duration) -> Self {
        self.close_timeout = close_timeout;
        self
    }

    /// How many callers of this provider may wait at once over all names, holders not counted: one more gets
    /// [`LockError::TooManyWaitersInTotal`](crate::LockError::TooManyWaitersInTotal). 100 000 by default; with 0 no
    /// caller waits.
    ///
    /// [`LockOptions::max_waiters`](crate::LockOptions::max_waiters) bounds the waiters of one name, and is no bound at
    /// all where clients choose the names. This one is, whatever they choose: a hundred thousand waiting requests take a
    /// service some hundred megabytes, and the names that they wait for have a queue each on the server.
    ///
    /// The first caller for a name counts once the server has answered that another holds the lock, not while that answer
    /// is pending. A caller whose lease was granted and ended before the caller looked
    /// waits again without being refused.
    pub fn max_waiters_in_total(mut self, most: usize) -> Self {
        self.max_waiters_in_total = most;
        self
    }

    /// The authorities that the server's certificate is trusted from, one or more certificates as PEM, instead of the
    /// system's. Only with TLS.
    pub fn tls_root_certificates(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.certificates.roots = Some(certificates.into());
        self
    }

    /// The certificate with its chain, and its private key, both as PEM, that are shown to a server which asks its
    /// clients for one (mutual TLS). Only with TLS.
    pub fn tls_client_identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificates.identity = Some(Identity { certificate: certificate.into(), key: key.into() });
        self
    }
}

impl Default for RedisLockOptions {
    fn default() -> Self {
        Self {
            connection_string: "localhost:6379".to_owned(),
            key_prefix: "orchestrix:lock:".to_owned(),
            connect_timeout: None,
            response_timeout: None,
            close_timeout: Duration::from_secs(5),
            max_waiters_in_total: DEFAULT_MOST,
            certificates: Certificates::default(),
        }
    }
}

/// Nothing of the connection string, which need not even parse, and nothing of keys.
impl fmt::Debug for RedisLockOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLockOptions")
            .field("connection_string", &format_args!("<hidden>"))
            .field("key_prefix", &self.key_prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("max_waiters_in_total", &self.max_waiters_in_total)
            .field("tls_root_certificates", &self.certificates.roots.is_some())
            .field("tls_client_identity", &self.certificates.identity.is_some())
            .finish()
    }
}
