//! [`Wait`]: how long a caller is ready to wait for a lock.

use std::time::Duration;

use tokio::time::Instant;

/// How long an acquire may wait for a lock that another caller holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Wait {
    /// One attempt, no waiting. The default.
    #[default]
    No,
    /// Until this much time has passed since the call.
    AtMost(Duration),
    /// As long as it takes.
    Forever,
}

impl From<Duration> for Wait {
    /// Zero is [`Wait::No`], [`Duration::MAX`] is [`Wait::Forever`].
    fn from(timeout: Duration) -> Self {
        match timeout {
            Duration::ZERO => Self::No,
            Duration::MAX => Self::Forever,
            timeout => Self::AtMost(timeout),
        }
    }
}

impl Wait {
    /// The same as a time-out: zero for [`Wait::No`], [`Duration::MAX`] for [`Wait::Forever`].
    pub fn timeout(self) -> Duration {
        match self {
            Self::No => Duration::ZERO,
            Self::AtMost(time) => time,
            Self::Forever => Duration::MAX,
        }
    }

    /// When the wait of a call that was made at `now` is over: `now` itself for [`Wait::No`], and `None` if it takes as
    /// long as it takes, or if the time is too far away for a timer.
    pub fn deadline(self, now: Instant) -> Option<Instant> {
        match self {
            Self::No => Some(now),
            Self::AtMost(time) => time_after(now, time),
            Self::Forever => None,
        }
    }
}

/// The time so long after `now`, or `None` if it is too far away to be written down, or for a timer to round up.
pub(crate) fn time_after(now: Instant, span: Duration) -> Option<Instant> {
    now.checked_add(span).filter(|time| time.checked_add(Duration::from_millis(1)).is_some())
}
