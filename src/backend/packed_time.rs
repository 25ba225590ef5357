//! Times in eight bytes: the end of a lease, which one atomic operation changes (a time, or one of four marks), and
//! [`PackedInstant`], for values of which a process keeps hundreds of thousands.

use std::num::NonZeroU64;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

pub(super) const PENDING: u64 = 0;
pub(super) const RELEASED: u64 = 1;
pub(super) const LOST: u64 = 2;
pub(super) const FIRST_TIME: u64 = 3;
pub(super) const NO_END: u64 = u64::MAX;

/// A time as a number above the marks: nanoseconds since 146 years before the first time that this process has packed.
///
/// Times before the first one are represented as well: a paused clock may lag behind the process's first lease, or have
/// been far ahead when that lease was granted.
#[inline]
pub(super) fn packed(time: Option<Instant>) -> u64 {
    time.map_or(NO_END, packed_time)
}

fn packed_time(time: Instant) -> u64 {
    let time = time.into_std();
    match time.checked_duration_since(*ORIGIN) {
        Some(after) => ORIGIN_AT.saturating_add(nanoseconds(after)).min(NO_END - 1),
        None => ORIGIN_AT.saturating_sub(nanoseconds(ORIGIN.saturating_duration_since(time))).max(FIRST_TIME),
    }
}

const ORIGIN_AT: u64 = 1 << 62;
static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);

/// A duration in whole nanoseconds, 584 years at most.
#[inline]
fn nanoseconds(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into())
}

/// An [`Instant`] in eight bytes in place of sixteen: the number that [`packed`] makes of it. Exact to the nanosecond
/// from 146 years before the process's first lease to 438 years after it; times beyond become those bounds. Never zero,
/// so that an `Option` of it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PackedInstant(NonZeroU64);

impl PackedInstant {
    /// Later than every time.
    pub(crate) const NEVER: Self = Self(NonZeroU64::MAX);

    /// The time by which all others are written down: the same one for as long as this process lives.
    #[cfg(feature = "redis")]
    pub(crate) fn origin() -> Instant {
        (*ORIGIN).into()
    }

    /// The number, which is not zero.
    #[cfg(feature = "redis")]
    pub(crate) fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The time of this number; `None` of zero.
    #[cfg(feature = "redis")]
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        NonZeroU64::new(bits).map(Self)
    }

    #[inline]
    pub(crate) fn instant(self) -> Instant {
        let at = self.0.get();
        let moved = if at >= ORIGIN_AT {
            ORIGIN.checked_add(Duration::from_nanos(at - ORIGIN_AT))
        } else {
            ORIGIN.checked_sub(Duration::from_nanos(ORIGIN_AT - at))
        };
        // The fallback is used only if the platform's clock cannot represent this time.
        moved.unwrap_or(*ORIGIN).into()
    }

    /// The time this long after `self`.
    #[inline]
    pub(crate) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(span)).min(LATEST))
    }

    /// The time this long before `self`.
    #[inline]
    pub(crate) fn before(self, span: Duration) -> Self {
        NonZeroU64::new(self.0.get().saturating_sub(nanoseconds(span)))
            .map_or(Self(EARLIEST), |at| Self(at.max(EARLIEST)))
    }

    /// How much later `self` is than `earlier`; zero if it is not later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

const EARLIEST: NonZeroU64 = NonZeroU64::MIN.saturating_add(FIRST_TIME - 1);
const LATEST: NonZeroU64 = NonZeroU64::MIN.saturating_add(NO_END - 2);

/// The length of a lease in nanoseconds, in eight bytes. Longer than a century becomes a century. Never zero, so that
/// an `Option` of it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PackedDuration(NonZeroU64);

impl PackedDuration {
    #[inline]
    pub(crate) fn get(self) -> Duration {
        Duration::from_nanos(self.0.get() - 1)
    }
}

impl From<Duration> for PackedDuration {
    #[inline]
    fn from(lease: Duration) -> Self {
        const CENTURY: u64 = 100 * 365 * 24 * 60 * 60 * 1_000_000_000;
        Self(NonZeroU64::MIN.saturating_add(nanoseconds(lease).min(CENTURY)))
    }
}

impl From<Instant> for PackedInstant {
    #[inline]
    fn from(time: Instant) -> Self {
        NonZeroU64::new(packed_time(time)).map_or(Self(EARLIEST), Self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    #[test]
    fn a_packed_instant_is_exact_to_the_nanosecond() {
        let now = Instant::now();
        for span in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(1_234_567_891), YEAR * 100] {
            for time in [now + span, now.checked_sub(span.min(Duration::from_secs(1))).unwrap()] {
                assert_eq!(PackedInstant::from(time).instant(), time);
            }
            assert_eq!(PackedInstant::from(now).after(span), PackedInstant::from(now + span));
            assert_eq!(PackedInstant::from(now + span).before(span), PackedInstant::from(now));
            assert_eq!(PackedInstant::from(now + span).since(PackedInstant::from(now)), span);
        }
        assert_eq!(PackedInstant::from(now).since(PackedInstant::from(now + YEAR)), Duration::ZERO);
    }

    #[test]
    fn packed_instants_are_bounded_and_in_order() {
        let now = PackedInstant::from(Instant::now());
        assert!(now.before(YEAR * 500) < now && now < now.after(YEAR * 500));
        assert!(now.after(Duration::MAX) < PackedInstant::NEVER, "a time far away is not never");
        assert!(now.after(Duration::MAX).instant() > Instant::now() + YEAR * 400);
        assert_eq!(now.before(Duration::MAX).0.get(), FIRST_TIME, "no time is one of the marks");
    }

    #[test]
    fn a_packed_duration_is_exact_up_to_a_century() {
        for span in [Duration::ZERO, Duration::from_nanos(1), Duration::from_nanos(86_400_000_000_001), YEAR * 99] {
            assert_eq!(PackedDuration::from(span).get(), span);
        }
        assert_eq!(PackedDuration::from(Duration::MAX).get(), YEAR * 100);
        assert_eq!((size_of::<Option<PackedInstant>>(), size_of::<Option<PackedDuration>>()), (8, 8));
    }
}
