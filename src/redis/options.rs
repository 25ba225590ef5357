//! [`RedisLockOptions`]: the server, the names of keys, and the time-outs.

use std::fmt;
use std::time::Duration;

use super::tls::{Certificates, Identity};
use crate::backend::DEFAULT_MAX_WAITERS;

/// How many replicas have to have a grant, and how long they are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Confirmation {
    pub(super) replicas: usize,
    pub(super) wait: Duration,
}

/// The Redis or Valkey server of a provider, and how it is used.
///
/// A setter only stores its value. All options are checked together, without any I/O, when a provider is made from them: a
/// [`BuildError`](crate::BuildError) names every mistake. Neither an error nor [`Debug`] ever shows a password.
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
    pub(super) confirmation: Option<Confirmation>,
    pub(super) certificates: Certificates,
}

impl RedisLockOptions {
    /// The server and the credentials, as a URL or in the form of StackExchange.Redis. `localhost:6379` by default.
    /// White space around the text is ignored. Several servers may be named, one of which is the primary, the sentinels of
    /// a service, or nodes of a cluster: `docs/redis.md` says what is promised then.
    ///
    /// # URLs
    ///
    /// - `redis://[user[:password]@]host[:port][/db][?parameters]`; `rediss` for TLS. The schemes `valkey` and
    ///   `valkeys` mean the same. The port is 6379 unless it is given, also with TLS.
    /// - `redis+sentinel://[user[:password]@]host[:port],…/service[/db][?parameters]`, the primary of a service that
    ///   Sentinel watches; `rediss+sentinel` for TLS to the sentinels and to the server. The hosts are those of sentinels,
    ///   1 to 64, on port 26379 unless it is given. The user and the password are the server's. A sentinel that asks for a
    ///   password is given `sentinel_username` and `sentinel_password`, or else those of the server. Lettuce's
    ///   `redis-sentinel://host,…/db?sentinelMasterId=service` means the same, also with `#service`.
    /// - `redis+cluster://[user[:password]@]host[:port],…[?parameters]`, a Redis Cluster; `rediss+cluster` for TLS to all nodes.
    ///   The hosts are some of its nodes, 1 to 64, on port 6379 unless it is given. The others are asked for, and are
    ///   used under the addresses that they announce. There is only the database 0. `redis-cluster` and `rediss-cluster`
    ///   mean the same.
    /// - `unix:///path[?parameters]`, the same as `unix:/path` and `redis+unix:///path`, for a Unix socket.
    ///
    /// A cluster is found out as well if a node of it is named by `redis://`, or several in the form of StackExchange.Redis.
    ///
    /// An IPv6 address is written in brackets. In the user and the password `/`, `?`, `#`, `@` and `%` have to be
    /// percent-encoded. A password alone is `redis://:password@host`. Parameters are `db`, `connectTimeout` and
    /// `responseTimeout` (both in milliseconds), `protocol` (only `3`) and, for a Unix socket, `user` and `pass`.
    /// `#insecure`, with which some clients accept any certificate, is refused. `redis+socket` and `redis-socket` are
    /// read as `unix`.
    ///
    /// A URL may be shared with other clients. Their parameters have these effects, in upper or lower case:
    ///
    /// | parameters | |
    /// | --- | --- |
    /// | `database` | as `db` |
    /// | `dial_timeout`, `socket_connect_timeout` | as `connectTimeout`, in seconds or with a unit: `5`, `2.5`, `500ms` |
    /// | `commandTimeout` | as `responseTimeout`, in milliseconds |
    /// | `read_timeout`, `socket_timeout` | as `responseTimeout`, in seconds or with a unit |
    /// | `timeout` | as `responseTimeout`, only with a unit, since clients differ in it: `5s` |
    /// | `username`, `password` | as `user` and `pass`, for a Unix socket |
    /// | `sentinel_username`, `sentinel_password` | the credentials of the sentinels; only with Sentinel |
    /// | `sentinel_ssl` | whether the sentinels are connected to with TLS, `true` or `false`; only with Sentinel. Without it the scheme says so for both |
    /// | `sentinelMasterId`, `master_name` | the service; only with Sentinel, instead of the path |
    /// | `family` | only `0` |
    /// | `ssl`, `tls`, `ssl_check_hostname`, `rejectUnauthorized` | only what the scheme says: `true` with TLS, `false` without |
    /// | `ssl_cert_reqs`, `verifyPeer` | only `required`, `CERT_REQUIRED`, `full` and `true`, with TLS |
    /// | `skip_verify`, `startTls` | only `false` |
    /// | `allowUsernameInURI`, `autoResubscribe`, `clientName`, `client_name`, `connectionName`, `conn_max_idle_time`, `conn_max_lifetime`, `conn_max_lifetime_jitter`, `decode_responses`, `dialer_retries`, `dialer_retry_timeout`, `enableOfflineQueue`, `enableReadyCheck`, `encoding`, `encoding_errors`, `health_check_interval`, `idle_check_frequency`, `idle_timeout`, `keepAlive`, `lazyConnect`, `lib_name`, `lib_version`, `libraryName`, `libraryVersion`, `max_active_conns`, `max_concurrent_dials`, `max_conn_age`, `max_connections`, `max_idle_conns`, `max_retries`, `max_retry_backoff`, `maxRetriesPerRequest`, `min_idle_conns`, `min_retry_backoff`, `noDelay`, `pool_fifo`, `pool_size`, `pool_timeout`, `reconnect_attempts`, `retry_on_error`, `retry_on_timeout`, `socket_keepalive`, `write_timeout` | accepted without effect |
    /// | `ssl_ca_certs`, `ssl_ca_data`, `ssl_ca_path`, `ssl_certfile`, `ssl_keyfile`, `ssl_ciphers`, `ssl_min_version`, `keyPrefix`, `prefix`, `addr`, `node` | refused, since they would be relied on in vain |
    ///
    /// If several set the same time-out, the first of them in this table counts, and this crate's own parameters before all.
    ///
    /// # The form of StackExchange.Redis
    ///
    /// `host[:port]`, more servers with their ports, and options, with commas between them:
    /// `redis.example.org,ssl=true,password=…,defaultDatabase=2`. Names may be in upper or lower case; spaces around commas are
    /// ignored. The port is 6379 unless it is given, and 6380 with `ssl=true`. A server that begins with `!` is the path of a
    /// Unix socket. The server comes before the password. A password may contain `=`; one with a comma needs a URL.
    ///
    /// With `serviceName` the servers are sentinels, on port 26379 unless it is given. Without it one of several servers is
    /// used: the one that is a primary. Up to 64 may be named. If two of them are primaries, none is used, unless they are
    /// nodes of a cluster: then all of its nodes are used.
    ///
    /// | options | |
    /// | --- | --- |
    /// | `user`, `password`, `ssl`, `defaultDatabase` | the credentials, TLS, and the database |
    /// | `serviceName` | the service that Sentinel watches |
    /// | `sentinelUser`, `sentinelPassword` | the credentials of the sentinels, if they have their own |
    /// | `sentinelSsl` | whether the sentinels are connected to with TLS; without it `ssl` says so for both |
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
    /// | `channelPrefix`, `prefix`, `defaults`, `tunnel`, `$COMMAND` | refused, since they would be relied on in vain |
    ///
    /// # Both
    ///
    /// A time-out above 60 s becomes 60 s, and a `keepAlive` above 32 767 s becomes 32 767 s. That is logged, and is a
    /// [`RedisWarning`](crate::RedisWarning::LongTimeout). A time-out below 10 ms is an error. Any other option, and any that
    /// is given twice, is an error, which repeats its name unless that may be the rest of a password.
    #[doc(alias = "ConnectionString")]
    pub fn connection_string(mut self, connection_string: impl Into<String>) -> Self {
        self.connection_string = connection_string.into();
        self
    }

    /// The prefix of every key: the lock of a resource is the key `prefix + resource`. `orchestrix:lock:` by default, 0 to 128
    /// bytes, without control characters and without `{` and `}`, which would move keys to other slots of a cluster.
    ///
    /// Use one prefix for one lock. If a prefix begins with another one, two names can be the same key: these locks exclude
    /// each other, but their waiters poll, since a release of the one notifies no waiter of the other.
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

    /// How long the server may take to reply to one command before the connection is taken for dead and replaced. 1 s by
    /// default, 10 ms to 60 s. Takes precedence over the connection string.
    ///
    /// It is also how long an acquire, an extension or a release waits at least for another connection during a failover (an
    /// acquire with a shorter time-out only if the server was not silent), and how long the end of a runtime waits at most for the replies to
    /// releases.
    pub fn response_timeout(mut self, response_timeout: Duration) -> Self {
        self.response_timeout = Some(response_timeout);
        self
    }

    /// How long closing waits for the replies to releases. 5 s by default, 0 to 10 min. A lock that is not released by then
    /// ends with its lease.
    pub fn close_timeout(mut self, close_timeout: Duration) -> Self {
        self.close_timeout = close_timeout;
        self
    }

    /// How many callers of this provider may wait at once over all resources, holders not counted. One more gets
    /// [`LockError::TooManyWaitersInTotal`](crate::LockError::TooManyWaitersInTotal). 100 000 by default; with 0 no
    /// caller waits.
    ///
    /// [`LockOptions::max_waiters`](crate::LockOptions::max_waiters) limits the waiters of one resource, which is not enough if
    /// clients choose the resources. This limit holds for all of them together: a hundred thousand waiting requests take some
    /// hundred megabytes in a service, and each resource that they wait for has a queue on the server.
    ///
    /// The first caller for a resource counts once the server has replied that another owner has the lock, and not before. A
    /// caller whose lease was granted and ended before the caller was polled waits again without being refused.
    pub fn max_waiters_in_total(mut self, most: usize) -> Self {
        self.max_waiters_in_total = most;
        self
    }

    /// A grant counts only once so many replicas have it, 1 to 16, within this time, 1 ms to 60 s. Otherwise it is undone and
    /// the caller gets [`LockError::Unavailable`](crate::LockError::Unavailable). Off by default.
    ///
    /// Replicas receive writes with a delay, so that a failover can lose the latest grants. With this option each grant is
    /// followed by `WAIT` over a connection of its own: one more round trip, and that to the replicas; grants that come at the
    /// same time share it. It is added to the caller's own time; a server
    /// that does not reply takes up to twice the connect, the response and this time together. Renewals, extensions and releases are not confirmed.
    ///
    /// This makes it less likely that a grant is lost, and not impossible: a replica that does not have the grant may be
    /// promoted all the same. What must not be written twice needs fencing tokens. The user needs the permission for `WAIT`,
    /// and the server's replicas must not be behind a proxy that answers for them.
    pub fn confirm_replicas(mut self, replicas: usize, timeout: Duration) -> Self {
        self.confirmation = Some(Confirmation { replicas, wait: timeout });
        self
    }

    /// The authorities that are trusted to sign the server's certificate, instead of the system's: one or more certificates as
    /// PEM. Only with TLS.
    pub fn tls_root_certificates(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.certificates.roots = Some(certificates.into());
        self
    }

    /// The certificate with its chain, and its private key, for a server that asks clients for a certificate (mutual TLS). Both
    /// are PEM. Only with TLS.
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
            max_waiters_in_total: DEFAULT_MAX_WAITERS,
            confirmation: None,
            certificates: Certificates::default(),
        }
    }
}

/// Shows neither the connection string, which may not even parse, nor keys.
impl fmt::Debug for RedisLockOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLockOptions")
            .field("connection_string", &format_args!("<hidden>"))
            .field("key_prefix", &self.key_prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("max_waiters_in_total", &self.max_waiters_in_total)
            .field("confirm_replicas", &self.confirmation)
            .field("tls_root_certificates", &self.certificates.roots.is_some())
            .field("tls_client_identity", &self.certificates.identity.is_some())
            .finish()
    }
}
