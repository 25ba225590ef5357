//! [`LockOptions`]: how long a lease lasts, and what happens at its end.

use std::time::Duration;

use crate::LockError;

/// How a lock behaves: the length of its lease, renewal, and limits.
///
/// Setters only note the value. Ranges are checked where the options are first used, at
/// [`Locking::lock_with`](crate::Locking::lock_with), [`LockingBuilder::build`](crate::LockingBuilder::build)
/// or [`DistributedLockProvider::create_lock`](crate::DistributedLockProvider::create_lock), with an error
/// that names the option, its value and its range.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use orchestrix_locking::LockOptions;
///
/// let options = LockOptions::default().ttl(Duration::from_secs(10)).max_hold(Some(Duration::from_secs(60)));
/// assert!(options.validate().is_ok());
///
/// let refused = LockOptions::default().ttl(Duration::ZERO).validate().unwrap_err();
/// assert_eq!(refused.to_string(), "the option ttl is 0ns; allowed: 10ms to 24h");
/// ```
#[doc(alias = "DistributedLockOptions")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct LockOptions {
    ttl: Duration,
    auto_renew: bool,
    max_hold: Option<Duration>,
    max_waiters: Option<usize>,
}

impl LockOptions {
    /// The shortest lease, 10 ms.
    pub const MIN_TTL: Duration = Duration::from_millis(10);
    /// The longest lease, 24 h.
    pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

    /// The length of the lease: for how long the lock stays taken if its holder vanishes. 30 s by default,
    /// 10 ms to 24 h. A holder that lives renews its lease, so work may take longer.
    ///
    /// Choose it by how long others can do without the lock of a process that was killed; 10 s suits most services. On
    /// Redis stay at 3 s or above, since a shorter lease does not survive one lost connection.
    ///
    /// A lease is no period and no rate limit. It ends early on release, loss and [`close`](crate::Locking::close), and
    /// its holder counts a little less than `ttl`, for clocks that drift.
    #[doc(alias = "DefaultTtl")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Whether the lease is renewed, at a third of its length, for as long as the guard lives. `true` by
    /// default. Without renewal the lock is lost one TTL after its grant, unless it is
    /// [extended](crate::LockGuard::extend). That bounds a hold; it does not make anything happen once per TTL.
    pub fn auto_renew(mut self, auto_renew: bool) -> Self {
        self.auto_renew = auto_renew;
        self
    }

    /// The longest that the lock may be held, counted from its grant; at least 10 ms, and `None`, the
    /// default, for no bound. No renewal carries the lease past it: it then ends, and the guard sees that as
    /// a loss.
    pub fn max_hold(mut self, max_hold: Option<Duration>) -> Self {
        self.max_hold = max_hold;
        self
    }

    /// How many callers may wait for one resource in this process at once, the holder not counted; one more
    /// gets [`LockError::TooManyWaiters`]. With 0 no caller waits. `None`, the default, sets no bound (the
    /// layers set 1024).
    pub fn max_waiters(mut self, max_waiters: Option<usize>) -> Self {
        self.max_waiters = max_waiters;
        self
    }

    /// The length of the lease.
    pub fn get_ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the lease is renewed while the guard lives.
    pub fn get_auto_renew(&self) -> bool {
        self.auto_renew
    }

    /// The longest hold, if there is a bound.
    pub fn get_max_hold(&self) -> Option<Duration> {
        self.max_hold
    }

    /// How many may wait, if there is a bound.
    pub fn get_max_waiters(&self) -> Option<usize> {
        self.max_waiters
    }

    /// Checks every option against its range.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] for the first option that is out of range.
    #[inline]
    pub fn validate(&self) -> Result<(), LockError> {
        check_lease("ttl", self.ttl)?;
        match self.max_hold {
            Some(max_hold) if max_hold < Self::MIN_TTL => {
                Err(LockError::invalid_options("max_hold", format!("{max_hold:?}"), "10ms or more, or none"))
            }
            _ => Ok(()),
        }
    }
}

/// Checks the length of a lease, wherever it is given.
#[inline]
pub(crate) fn check_lease(option: &'static str, lease: Duration) -> Result<(), LockError> {
    if (LockOptions::MIN_TTL..=LockOptions::MAX_TTL).contains(&lease) {
        return Ok(());
    }
    Err(LockError::invalid_options(option, format!("{lease:?}"), "10ms to 24h"))
}

impl Default for LockOptions {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(30), auto_renew: true, max_hold: None, max_waiters: None }
    }
}
