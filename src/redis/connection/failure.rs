//! [`Failure`]: why the server cannot be asked, in words.

mod hint;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ErrorKind, RedisError};
use tokio::time::Instant;

use super::error_class::{is_closed, is_cut_off, is_not_here, is_redirected};
use super::redact;
use crate::LockError;
use crate::redis::connection_string::Server;
use crate::redis::settings::Settings;

/// Why a server could not be asked.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Failure {
    server: Arc<str>,
    /// What was done when it failed.
    during: &'static str,
    source: RedisError,
    /// What can be done about it, where the source does not say it.
    hint: Option<&'static str>,
    /// Since when there has been no working connection, if there is none.
    since: Option<Instant>,
}

/// What is done when a failure comes.
pub(in crate::redis) const CONNECTING: &str = "connecting";
pub(in crate::redis) const CHECKING: &str = "checking";
pub(in crate::redis) const CONFIRMING: &str = "asking for replicas";
pub(super) const RUNNING: &str = "running a command";
pub(super) const WAITING: &str = "waiting for an answer";

impl Failure {
    pub(in crate::redis) fn new(settings: &Settings, during: &'static str, source: RedisError) -> Self {
        let source = redact::without_secrets(settings, source);
        let context = context(settings, during);
        let (server, hint) = match &settings.announced_by {
            Some(by) => {
                (format!("{}, as announced by {by}", settings.server).into(), hint::of_announced(&source, context))
            }
            None => (settings.server.as_str().into(), hint::of(&source, context)),
        };
        Self { server, during, source, hint, since: None }
    }

    /// The same of the one of several servers that is connected to.
    pub(super) fn at(mut self, server: &Server) -> Self {
        self.server = format!("{server}, the primary of {}", self.server).into();
        self
    }

    /// The same of a server to which there has been no connection since then.
    pub(super) fn without_connection_since(mut self, since: Instant) -> Self {
        self.since = Some(since);
        self
    }

    /// The error of a command that the server has refused.
    pub(in crate::redis) fn to_refusal(&self) -> LockError {
        LockError::backend(self.redacted())
    }

    /// The code of the server's error.
    pub(in crate::redis) fn code(&self) -> Option<&str> {
        self.source.code()
    }

    /// What went wrong, without where and when.
    pub(in crate::redis) fn reason(&self) -> Reason<'_> {
        Reason { source: &self.source, hint: self.hint }
    }

    /// Whether the server is within reach and says that it does not run calls here, or not now: calls wait for another
    /// server, or a later time.
    pub(super) fn is_not_here(&self) -> bool {
        is_not_here(&self.source)
    }

    /// Whether the server did not reply in time.
    pub(super) fn is_silent(&self) -> bool {
        self.source.is_timeout()
    }

    /// Whether the connection was closed, rather than silent.
    pub(super) fn is_closed(&self) -> bool {
        is_closed(&self.source)
    }

    /// Whether the server accepted the connection and closed it while it was made ready.
    pub(super) fn is_cut_off(&self) -> bool {
        is_cut_off(&self.source)
    }

    /// The error that callers get. If the server replied with an error of its own, that is an error of the backend. If it
    /// did not reply, or cannot run calls here or now, it is unavailable.
    pub(in crate::redis) fn to_error(&self) -> LockError {
        match self.source.kind() {
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::Client => LockError::unavailable(self.redacted()),
            _ if self.is_not_here() || is_redirected(&self.source) => LockError::unavailable(self.redacted()),
            _ => LockError::backend(self.redacted()),
        }
    }

    fn redacted(&self) -> Redacted {
        Redacted {
            server: Arc::clone(&self.server),
            during: self.during,
            source: self.source.clone(),
            hint: self.hint,
            lasting: self.since.map(|since| since.elapsed()),
        }
    }
}

fn context(settings: &Settings, during: &str) -> hint::Context {
    // The check of a server makes connections of its own.
    let connecting = matches!(during, CONNECTING | CHECKING);
    hint::Context { connecting, tls: settings.servers.use_tls(), plain: settings.servers.use_plain() }
}

/// Whether an error says that the connection was closed before the reply.
pub(in crate::redis) fn was_closed_before_reply(error: &LockError) -> bool {
    let redacted = Error::source(error).and_then(|source| source.downcast_ref::<Redacted>());
    redacted.is_some_and(|redacted| is_closed(&redacted.source))
}

/// No reply in time.
pub(in crate::redis) fn timed_out() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

/// The connection is closed, and nothing more is known.
pub(in crate::redis) fn connection_closed() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the connection was closed"))
}

const SPEAKS_NO_TLS: &str = "the TLS handshake was not answered, and a command without TLS was";

/// The connection was to use TLS, and the server speaks without it.
pub(super) fn speaks_no_tls() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::InvalidData, SPEAKS_NO_TLS))
}

/// An error's text in one line, and what can be done about it.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Reason<'a> {
    source: &'a RedisError,
    hint: Option<&'static str>,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line in a log, also if what answered is no Redis server and its text has several lines.
        for (at, line) in self.source.to_string().lines().enumerate() {
            write!(f, "{}{}", if at > 0 { " " } else { "" }, line.trim())?;
        }
        if let Some(hint) = self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// The source of the errors that callers get.
#[derive(Debug)]
struct Redacted {
    server: Arc<str>,
    during: &'static str,
    source: RedisError,
    hint: Option<&'static str>,
    /// For how long there has been no connection, if there is none.
    lasting: Option<Duration>,
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = Reason { source: &self.source, hint: self.hint };
        write!(f, "redis at {}, {}: {reason}", self.server, self.during)?;
        if let Some(lasting) = self.lasting.filter(|lasting| *lasting >= Duration::from_millis(1)) {
            // To the millisecond: a reader compares it with time-outs.
            let lasting = Duration::from_millis(u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX));
            write!(f, "; without a connection for {lasting:?}")?;
        }
        Ok(())
    }
}

impl Error for Redacted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
