//! [`Target`]: the content of a connection string, independent of its form.

use std::fmt;
use std::time::Duration;

/// A server, and the credentials and times for connecting to it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) server: Server,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
    pub(crate) connect_timeout: Option<Given>,
    pub(crate) response_timeout: Option<Given>,
    /// How long a connection is idle before the operating system probes it.
    pub(crate) keep_alive: Option<Given>,
}

/// The time that an option gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Given {
    pub(crate) time: Duration,
    pub(crate) option: &'static str,
    /// It was above the maximum, which is used instead.
    pub(crate) shortened: bool,
}

/// The address of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            user: None,
            password: None,
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
            .field("server", &self.server)
            .field("database", &self.database)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
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
