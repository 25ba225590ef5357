//! [`LockOptions`]: the lease, its renewal, and limits.

use std::time::Duration;

use super::LockMode;
use crate::LockError;

/// How a lock behaves: the length of its lease, renewal, and limits.
///
/// Setters do not check ranges. [`Locking::lock_with`](crate::Locking::lock_with),
/// [`LockingBuilder::build`](crate::LockingBuilder::build) and
/// [`DistributedLockProvider::create_lock`](crate::DistributedLockProvider::create_lock) do, with an error that names the
/// option, its value and its range.
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
    mode: LockMode,
    at_least: Duration,
}

impl LockOptions {
    /// The shortest lease, 10 ms.
    pub const MIN_TTL: Duration = Duration::from_millis(10);
    /// The longest lease, 24 h.
    pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
    /// The longest time for which a lock stays taken [at least](Self::at_least), 24 h.
    pub const MAX_AT_LEAST: Duration = Self::MAX_TTL;

    /// The length of the lease: how long the lock stays held after its holder was killed. 30 s by default, 10 ms to 24 h. A
    /// live holder renews its lease, so work may take longer.
    ///
    /// Choose it by how long other callers can wait for the lock of a killed process. 10 s suits most services. On Redis use
    /// 3 s or more: a shorter lease does not survive one lost connection.
    ///
    /// A lease is not a period and not a rate limit. It ends early on release, loss and [`close`](crate::Locking::close).
    /// The holder counts a little less than `ttl`, to allow for clock drift.
    #[doc(alias = "DefaultTtl")]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Whether the lease is renewed at a third of its length while the guard lives. `true` by default. Without renewal the
    /// lock is lost one TTL after its grant, unless it is [extended](crate::LockGuard::extend). That limits how long it is
    /// held; it does not make anything happen once per TTL.
    pub fn auto_renew(mut self, auto_renew: bool) -> Self {
        self.auto_renew = auto_renew;
        self
    }

    /// How long the lock may be held at most, counted from its grant. At least 10 ms. `None`, the default, sets no limit. No
    /// renewal extends the lease past it. At the limit the lease ends, which the guard sees as a loss.
    pub fn max_hold(mut self, max_hold: Option<Duration>) -> Self {
        self.max_hold = max_hold;
        self
    }

    /// How many callers in this process may wait for one resource at once. The holder does not count. One more gets
    /// [`LockError::TooManyWaiters`]. With 0 no caller waits. `None`, the default, sets no limit (the layers set 1024).
    pub fn max_waiters(mut self, max_waiters: Option<usize>) -> Self {
        self.max_waiters = max_waiters;
        self
    }

    /// Who may hold the lock at the same time. [`LockMode::Exclusive`] by default.
    pub fn mode(mut self, mode: LockMode) -> Self {
        self.mode = mode;
        self
    }

    /// How long the lock stays taken at least, counted from its grant. Zero by default, 24 h at most, and not above
    /// [`max_hold`](Self::max_hold).
    ///
    /// A release or drop before that time ends the guard, and the name stays taken for the rest of it; waiters wait on. With
    /// [`try_acquire(Duration::ZERO)`](crate::DistributedLock::try_acquire) that is "at most once per interval over all
    /// processes". On a server the name also stays taken if the provider is closed or the process ends. For a loss it means
    /// nothing: a lock that was lost is not kept.
    pub fn at_least(mut self, at_least: Duration) -> Self {
        self.at_least = at_least;
        self
    }

    /// The length of the lease, as [`ttl`](Self::ttl) set it.
    #[inline]
    pub fn configured_ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the lease is renewed while the guard lives, as [`auto_renew`](Self::auto_renew) set it.
    #[inline]
    pub fn configured_auto_renew(&self) -> bool {
        self.auto_renew
    }

    /// How long the lock may be held at most, if [`max_hold`](Self::max_hold) set a limit.
    #[inline]
    pub fn configured_max_hold(&self) -> Option<Duration> {
        self.max_hold
    }

    /// How many callers may wait, if [`max_waiters`](Self::max_waiters) set a limit.
    #[inline]
    pub fn configured_max_waiters(&self) -> Option<usize> {
        self.max_waiters
    }

    /// Who may hold the lock at the same time, as [`mode`](Self::mode) set it.
    #[inline]
    pub fn configured_mode(&self) -> LockMode {
        self.mode
    }

    /// How long the lock stays taken at least, as [`at_least`](Self::at_least) set it.
    #[inline]
    pub fn configured_at_least(&self) -> Duration {
        self.at_least
    }

    /// The old name of [`configured_ttl`](Self::configured_ttl).
    #[deprecated(since = "0.2.0", note = "is called `configured_ttl` now")]
    pub fn get_ttl(&self) -> Duration {
        self.configured_ttl()
    }

    /// The old name of [`configured_auto_renew`](Self::configured_auto_renew).
    #[deprecated(since = "0.2.0", note = "is called `configured_auto_renew` now")]
    pub fn get_auto_renew(&self) -> bool {
        self.configured_auto_renew()
    }

    /// The old name of [`configured_max_hold`](Self::configured_max_hold).
    #[deprecated(since = "0.2.0", note = "is called `configured_max_hold` now")]
    pub fn get_max_hold(&self) -> Option<Duration> {
        self.configured_max_hold()
    }

    /// The old name of [`configured_max_waiters`](Self::configured_max_waiters).
    #[deprecated(since = "0.2.0", note = "is called `configured_max_waiters` now")]
    pub fn get_max_waiters(&self) -> Option<usize> {
        self.configured_max_waiters()
    }

    /// Checks every option against its range.
    ///
    /// # Errors
    ///
    /// [`LockError::InvalidOptions`] for the first option that is out of range.
    #[inline]
    pub fn validate(&self) -> Result<(), LockError> {
        check_lease("ttl", self.ttl)?;
        self.mode.validate()?;
        if let Some(max_hold) = self.max_hold.filter(|max_hold| *max_hold < Self::MIN_TTL) {
            return Err(LockError::invalid_options("max_hold", format!("{max_hold:?}"), "10ms or more, or none"));
        }
        let longest = self.max_hold.map_or(Self::MAX_AT_LEAST, |max_hold| max_hold.min(Self::MAX_AT_LEAST));
        if self.at_least > longest {
            let allowed = format!("0 to {longest:?}, and not above max_hold");
            return Err(LockError::invalid_options("at_least", format!("{:?}", self.at_least), allowed));
        }
        Ok(())
    }
}

/// Checks the length of a lease that was given as `option`.
#[inline]
pub(crate) fn check_lease(option: &'static str, lease: Duration) -> Result<(), LockError> {
    if (LockOptions::MIN_TTL..=LockOptions::MAX_TTL).contains(&lease) {
        return Ok(());
    }
    Err(LockError::invalid_options(option, format!("{lease:?}"), "10ms to 24h"))
}

impl Default for LockOptions {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            auto_renew: true,
            max_hold: None,
            max_waiters: None,
            mode: LockMode::Exclusive,
            at_least: Duration::ZERO,
        }
    }
}
