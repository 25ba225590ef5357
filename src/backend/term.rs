//! [`Term`]: how long a lease lasts.

use std::time::Duration;

use tokio::time::Instant;

use super::packed_time::{PackedDuration, PackedInstant};
use crate::types::time_after;

/// When a lease ends if nobody does anything.
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
/// // On a server that has to be asked for every renewal:
/// assert_eq!(Term::new(now, ttl).ends(), Some(now + ttl));
/// // Where a living guard is renewal enough:
/// assert_eq!(Term::new(now, ttl).self_renewing(ttl).ends(), None);
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Term {
    /// `None` until somebody looks, see [`of_a_living_guard`](Self::of_a_living_guard).
    from: Option<PackedInstant>,
    lease: PackedDuration,
    renewed: Option<PackedDuration>,
    /// [`PackedInstant::NEVER`] for none.
    limit: PackedInstant,
}

impl Term {
    /// A lease of this length from this time on.
    #[inline]
    pub fn new(from: Instant, lease: Duration) -> Self {
        Self { from: Some(from.into()), lease: PackedDuration::from(lease), renewed: None, limit: PackedInstant::NEVER }
    }

    /// A lease that renews itself and has no limit, and so never ends by itself: nothing hangs on when it began but the
    /// times that it shows. Those count from the first look, as if it had been renewed then, so that nobody reads the
    /// clock for a lease that nobody looks at.
    #[cfg(feature = "memory")]
    #[inline]
    pub(crate) fn of_a_living_guard(ttl: Duration) -> Self {
        let ttl = PackedDuration::from(ttl);
        Self { from: None, lease: ttl, renewed: Some(ttl), limit: PackedInstant::NEVER }
    }

    /// Begins at the first look, unless it has begun.
    pub(super) fn look(&mut self, now: Instant) -> Instant {
        self.from.get_or_insert(now.into());
        self.expires_at(now)
    }

    /// The lease renews itself, by `ttl` at every third of it, for as long as it is neither released nor
    /// lost. For providers in whose backend that takes no step: the lease then has no end of its own, and
    /// still shows the times that a renewed lease shows.
    pub fn self_renewing(mut self, ttl: Duration) -> Self {
        self.renewed = Some(PackedDuration::from(ttl));
        self
    }

    /// The longest hold, counted from the start: the lease ends then at the latest.
    pub fn max_hold(mut self, max_hold: Option<Duration>) -> Self {
        // A time too far away to be written down is no limit.
        let limit = self.from.zip(max_hold).and_then(|(from, max_hold)| time_after(from.instant(), max_hold));
        self.limit = limit.map_or(PackedInstant::NEVER, PackedInstant::from);
        self
    }

    /// The time at which the lease ends if nobody does anything, or `None` if it does not.
    #[inline]
    pub fn ends(&self) -> Option<Instant> {
        match self.from {
            Some(from) if self.renewed.is_none() => Some(self.capped(from.after(self.lease.get())).instant()),
            _ => self.limit(),
        }
    }

    /// The latest end that the lease may ever have.
    pub fn limit(&self) -> Option<Instant> {
        (self.limit != PackedInstant::NEVER).then(|| self.limit.instant())
    }

    /// The end of the lease as it looks at `now`: for a lease that renews itself, as its latest renewal left it.
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

    /// The same lease, of another length from another time on.
    pub(super) fn restarted(self, from: Instant, lease: Duration) -> Self {
        Self { from: Some(from.into()), lease: PackedDuration::from(lease), ..self }
    }

    /// The same lease, taken away at this time.
    pub(super) fn over(self, at: Instant) -> Self {
        Self { limit: self.limit.min(at.into()), ..self }
    }

    fn capped(&self, end: PackedInstant) -> PackedInstant {
        end.min(self.limit)
    }
}
