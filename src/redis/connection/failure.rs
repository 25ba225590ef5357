//! [`Failure`]: why the server cannot be asked, in words.

mod hint;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ConnectionAddr, ErrorKind, RedisError};
use tokio::time::Instant;

use super::redact;
use super::reply::{is_closed, is_not_here};
use crate::LockError;
use crate::redis::settings::Settings;

/// What failed on the way to a server, and since when.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Failure {
    server: Arc<str>,
    /// What was being done.
    during: &'static str,
    source: RedisError,
    /// What can be done about it, where the source does not say it.
    hint: Option<&'static str>,
    /// Since when there has been no working connection.
    since: Instant,
}

impl Failure {
    pub(in crate::redis) fn new(settings: &Settings, during: &'static str, source: RedisError, since: Instant) -> Self {
        let source = without_secrets(settings, source);
        let hint = hint::of(&source, context(settings, during));
        Self { server: settings.server.as_str().into(), during, source, hint, since }
    }

    /// One for a server that has not answered in time.
    pub(in crate::redis) fn too_slow(settings: &Settings, during: &'static str, since: Instant) -> Self {
        Self::new(settings, during, too_slow(), since)
    }

    /// The code of the server's error.
    pub(in crate::redis) fn code(&self) -> Option<&str> {
        self.source.code()
    }

    /// What went wrong, without where and when.
    pub(in crate::redis) fn reason(&self) -> Reason<'_> {
        Reason { source: &self.source, hint: self.hint }
    }

    /// Whether the server is there, and would have to be another, or later: calls wait for that.
    pub(super) fn is_not_here(&self) -> bool {
        is_not_here(&self.source)
    }

    /// Whether the connection was closed, rather than silent.
    pub(super) fn is_closed(&self) -> bool {
        is_closed(&self.source)
    }

    /// Whether the server accepted the connection and closed it while it was made ready.
    pub(super) fn is_cut_off(&self) -> bool {
        self.source.is_connection_dropped() && !self.source.is_connection_refusal()
    }

    /// The error that callers get: what the server said is its answer, silence is none. Nor is it one that it cannot
    /// answer here, or not now.
    pub(in crate::redis) fn to_error(&self) -> LockError {
        let told = Redacted {
            server: Arc::clone(&self.server),
            during: self.during,
            source: self.source.clone(),
            hint: self.hint,
            lasting: self.since.elapsed(),
        };
        match self.source.kind() {
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::Client => LockError::unavailable(told),
            _ if self.is_not_here() => LockError::unavailable(told),
            _ => LockError::backend(told),
        }
    }
}

/// An error that the server answered to one command.
pub(super) fn refused(settings: &Settings, source: RedisError) -> LockError {
    let (server, source) = (settings.server.as_str().into(), without_secrets(settings, source));
    let during = "running a command";
    let hint = hint::of(&source, context(settings, during));
    LockError::backend(Redacted { server, during, source, hint, lasting: Duration::ZERO })
}

fn context(settings: &Settings, during: &str) -> hint::Context {
    // A look at the server's settings makes a connection of its own.
    let connecting = matches!(during, "connecting" | "checking");
    hint::Context { connecting, tls: matches!(settings.info.addr(), ConnectionAddr::TcpTls { .. }) }
}

/// Whether an error says that the connection was closed before the call was answered.
pub(in crate::redis) fn was_cut(error: &LockError) -> bool {
    let told = Error::source(error).and_then(|source| source.downcast_ref::<Redacted>());
    told.is_some_and(|told| is_closed(&told.source))
}

/// What may be told of an error: servers repeat what they were sent.
pub(super) fn without_secrets(settings: &Settings, source: RedisError) -> RedisError {
    redact::without(settings.info.redis_settings(), source)
}

/// A connection that was not made in time.
pub(super) fn too_slow() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

/// The connection is gone, and nothing more is known.
pub(super) fn given_up() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the connection was closed"))
}

const SPEAKS_NO_TLS: &str = "the TLS handshake was not answered, and a command without TLS was";

/// Where TLS was wanted, and the server speaks without it.
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
        // One line in a log, whatever came from whatever answered there.
        for (at, line) in self.source.to_string().lines().enumerate() {
            write!(f, "{}{}", if at > 0 { " " } else { "" }, line.trim())?;
        }
        if let Some(hint) = self.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// As a user reads it.
#[derive(Debug)]
struct Redacted {
    server: Arc<str>,
    during: &'static str,
    source: RedisError,
    hint: Option<&'static str>,
    lasting: Duration,
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = Reason { source: &self.source, hint: self.hint };
        write!(f, "redis at {}, {}: {reason}", self.server, self.during)?;
        if self.lasting >= Duration::from_millis(1) {
            // To the millisecond: a reader compares it with time-outs.
            let lasting = Duration::from_millis(u64::try_from(self.lasting.as_millis()).unwrap_or(u64::MAX));
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
