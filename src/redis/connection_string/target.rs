//! [`Target`]: the content of a connection string, independent of its form.

use std::fmt;
use std::time::Duration;

/// The servers, and the credentials and times for connecting to them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) servers: Servers,
    pub(crate) credentials: Credentials,
    pub(crate) database: i64,
    pub(crate) connect_timeout: Option<Given>,
    pub(crate) response_timeout: Option<Given>,
    /// How long a connection is idle before the operating system probes it.
    pub(crate) keep_alive: Option<Given>,
}

/// A user and a password, each if there is one.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// The time that an option gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Given {
    pub(crate) time: Duration,
    pub(crate) option: &'static str,
    /// It was above the maximum, which is used instead.
    pub(crate) shortened: bool,
}

/// Which server is asked for locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Servers {
    One(Server),
    /// The one of them that is a primary.
    AnyOf(Vec<Server>),
    Sentinel(SentinelTarget),
    /// The nodes of a Redis Cluster, of which these are some.
    Cluster(Vec<Server>),
}

/// The primary of a service that Sentinel watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentinelTarget {
    pub(crate) sentinels: Vec<Server>,
    pub(crate) service: String,
    /// Those of the sentinels, if they have their own.
    pub(crate) credentials: Credentials,
    /// Whether the servers are connected to with TLS.
    pub(crate) tls: bool,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Server {
    Tcp {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        port: u16,
        tls: bool,
    },
    Unix {
        path: String,
    },
}

impl Target {
    pub(super) fn new(servers: Servers) -> Self {
        Self {
            servers,
            credentials: Credentials::default(),
            database: 0,
            connect_timeout: None,
            response_timeout: None,
            keep_alive: None,
        }
    }
}

/// Shows neither the user nor the password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("servers", &self.servers)
            .field("database", &self.database)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

/// Shows neither the user nor the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Servers {
    /// Those that are named.
    pub(crate) fn named(&self) -> &[Server] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::AnyOf(servers)
            | Self::Cluster(servers)
            | Self::Sentinel(SentinelTarget { sentinels: servers, .. }) => servers,
        }
    }

    /// Whether connections to them use TLS. It is set for all of them, with Sentinel for sentinels and servers apart.
    pub(crate) fn use_tls(&self) -> bool {
        self.named().iter().any(Server::uses_tls) || matches!(self, Self::Sentinel(SentinelTarget { tls: true, .. }))
    }

    /// Whether some of them are connected to without TLS.
    pub(crate) fn use_plain(&self) -> bool {
        !self.named().iter().all(Server::uses_tls) || matches!(self, Self::Sentinel(SentinelTarget { tls: false, .. }))
    }
}

impl Server {
    pub(crate) fn uses_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

/// What errors call them: one server, a list, a service and its sentinels, or a cluster and its named nodes.
impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(server) => server.fmt(f),
            Self::AnyOf(servers) => f.write_str(&listed(servers)),
            Self::Cluster(servers) => write!(f, "the cluster of {}", listed(servers)),
            Self::Sentinel(SentinelTarget { sentinels, service, .. }) => {
                write!(f, "{service} (sentinels {})", listed(sentinels))
            }
        }
    }
}

fn listed(servers: &[Server]) -> String {
    servers.iter().map(Server::to_string).collect::<Vec<_>>().join(",")
}

/// `host:port`, `[address]:port` or `unix:/path`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix { path } => write!(f, "unix:{path}"),
        }
    }
}
