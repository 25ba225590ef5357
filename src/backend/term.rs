//! [`Term`]: the start, the length and the limit of a lease.

use std::time::Duration;

use tokio::time::Instant;

use super::packed_time::{PackedDuration, PackedInstant};
use crate::types::time_after;

/// When a lease ends unless it is renewed or extended.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use orchestrix_locking::provider::Term;
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let ttl = Duration::from_secs(30);
/// // A server needs a command for each renewal, so the lease has an end:
/// assert_eq!(Term::new(now, ttl).ends(), Some(now + ttl));
/// // In one process the lease is renewed as long as its guard lives:
/// assert_eq!(Term::new(now, ttl).self_renewing(ttl).ends(), None);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Term {
    /// `None` until an end is first read, see [`of_a_living_guard`](Self::of_a_living_guard).
    from: Option<PackedInstant>,
    lease: PackedDuration,
    renewed: Option<PackedDuration>,
    /// [`PackedInstant::NEVER`] if there is none.
    limit: PackedInstant,
}

impl Term {
    /// A lease of this length from this time on.
    #[inline]
    pub fn new(from: Instant, lease: Duration) -> Self {
        Self { from: Some(from.into()), lease: PackedDuration::from(lease), renewed: None, limit: PackedInstant::NEVER }
    }

    /// A lease that renews itself and has no limit, and so never ends by itself. Its start only affects the times that
    /// it shows. Those count from the first read, as if it had been renewed then, so that a grant does not read the
    /// clock.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn of_a_living_guard(ttl: Duration) -> Self {
        let ttl = PackedDuration::from(ttl);
        Self { from: None, lease: ttl, renewed: Some(ttl), limit: PackedInstant::NEVER }
    }

    /// Sets the start to `now`, if it has none yet.
    pub(super) fn begin(&mut self, now: Instant) -> &Self {
        self.from.get_or_insert(now.into());
        self
    }

    /// The lease is renewed by `ttl` whenever a third of it is over, until it is released or lost. For providers whose
    /// backend needs no step for a renewal: the lease then has no end of its own, and shows the times that a renewed
    /// lease shows.
    pub fn self_renewing(mut self, ttl: Duration) -> Self {
        self.renewed = Some(PackedDuration::from(ttl));
        self
    }

    /// Limits the hold: the lease ends `max_hold` after its start at the latest.
    pub fn max_hold(mut self, max_hold: Option<Duration>) -> Self {
        // A time too far away to be written down is no limit.
        let limit = self.from.zip(max_hold).and_then(|(from, max_hold)| time_after(from.instant(), max_hold));
        self.limit = limit.map_or(PackedInstant::NEVER, PackedInstant::from);
        self
    }

    /// The time at which the lease ends unless it is renewed or extended. `None` if it does not end by itself.
    #[inline]
    pub fn ends(&self) -> Option<Instant> {
        match self.from {
            Some(from) if self.renewed.is_none() => Some(self.capped(from.after(self.lease.get())).instant()),
            _ => self.limit(),
        }
    }

    /// The latest end that the lease can have.
    pub fn limit(&self) -> Option<Instant> {
        (self.limit != PackedInstant::NEVER).then(|| self.limit.instant())
    }

    /// The end of the lease as of `now`. For a lease that renews itself: the end that its latest renewal has set.
    pub fn expires_at(&self, now: Instant) -> Instant {
        let now = PackedInstant::from(now);
        let from = self.from.unwrap_or(now);
        let granted = from.after(self.lease.get());
        let Some(ttl) = self.renewed else { return self.capped(granted).instant() };
        let every = ttl.min(self.lease).get() / 3;
        let passed = now.since(from);
        let rounds = passed.as_nanos().checked_div(every.as_nanos()).unwrap_or(0);
        if rounds == 0 {
            return self.capped(granted).instant();
        }
        // The time since the latest renewal, which is less than `every` and so fits.
        let since = passed.as_nanos() % every.as_nanos();
        let since = Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX));
        let renewed = now.before(since).after(ttl.get());
        self.capped(granted.max(renewed)).instant()
    }

    /// The same lease with another start and length.
    pub(super) fn restarted(self, from: Instant, lease: Duration) -> Self {
        Self { from: Some(from.into()), lease: PackedDuration::from(lease), ..self }
    }

    /// The same lease, ended at this time at the latest.
    pub(super) fn ended(self, at: Instant) -> Self {
        Self { limit: self.limit.min(at.into()), ..self }
    }

    fn capped(&self, end: PackedInstant) -> PackedInstant {
        end.min(self.limit)
    }
}
