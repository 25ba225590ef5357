//! [`Failure`]: why the server cannot be asked, in words.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ErrorKind, RedisError};
use tokio::time::Instant;

use super::secrets;
use crate::LockError;
use crate::redis::settings::Settings;

/// What failed on the way to a server, and since when.
#[derive(Debug, Clone)]
pub(in crate::redis) struct Failure {
    server: Arc<str>,
    /// What was being done.
    during: &'static str,
    source: RedisError,
    /// Since when there has been no working connection.
    since: Instant,
}

impl Failure {
    pub(in crate::redis) fn new(settings: &Settings, during: &'static str, source: RedisError, since: Instant) -> Self {
        let source = without_secrets(settings, source);
        Self { server: settings.server.as_str().into(), during, source, since }
    }

    /// The error that callers get: what the server said is its answer, silence is none.
    pub(in crate::redis) fn to_error(&self) -> LockError {
        let told = Told {
            server: Arc::clone(&self.server),
            during: self.during,
            source: self.source.clone(),
            lasting: self.since.elapsed(),
        };
        match self.source.kind() {
            ErrorKind::Io | ErrorKind::Parse | ErrorKind::Client => LockError::unavailable(told),
            _ => LockError::backend(told),
        }
    }
}

/// An error that the server answered to one command.
pub(super) fn refused(settings: &Settings, source: RedisError) -> LockError {
    let (server, source) = (settings.server.as_str().into(), without_secrets(settings, source));
    LockError::backend(Told { server, during: "running a command", source, lasting: Duration::ZERO })
}

/// What may be told of an error: servers repeat what they were sent.
pub(super) fn without_secrets(settings: &Settings, source: RedisError) -> RedisError {
    secrets::without(settings.info.redis_settings(), source)
}

/// A connection that was not made in time.
pub(super) fn too_slow() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

/// The connection is gone, and nothing more is known.
pub(super) fn given_up() -> RedisError {
    RedisError::from(std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the connection was closed"))
}

/// As a user reads it.
#[derive(Debug)]
struct Told {
    server: Arc<str>,
    during: &'static str,
    source: RedisError,
    lasting: Duration,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redis at {}, {}: ", self.server, self.during)?;
        // One line in a log, whatever came from whatever answered there.
        for (at, line) in self.source.to_string().lines().enumerate() {
            write!(f, "{}{}", if at > 0 { " " } else { "" }, line.trim())?;
        }
        if self.lasting >= Duration::from_millis(1) {
            // To the millisecond: a reader compares it with time-outs.
            let lasting = Duration::from_millis(u64::try_from(self.lasting.as_millis()).unwrap_or(u64::MAX));
            write!(f, "; without a connection for {lasting:?}")?;
        }
        Ok(())
    }
}

impl Error for Told {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
