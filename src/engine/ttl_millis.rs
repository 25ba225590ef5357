//! [`TtlMillis`]: how long a lease lasts, in four bytes.

use std::num::NonZeroU32;
use std::time::Duration;

/// The length of a lease as the server counts it: in whole milliseconds, at least one. It is rounded down, so that no holder
/// counts on more than was requested of the server (R2). It has four bytes, since there may be very many leases and a
/// [`Duration`] takes sixteen. Its maximum is 49 days, more than any option allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TtlMillis(NonZeroU32);

impl TtlMillis {
    pub(crate) fn get(self) -> Duration {
        Duration::from_millis(self.milliseconds().into())
    }

    pub(crate) fn milliseconds(self) -> u32 {
        self.0.get()
    }
}

impl From<Duration> for TtlMillis {
    fn from(lease: Duration) -> Self {
        let milliseconds = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(milliseconds).unwrap_or(NonZeroU32::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LockOptions;

    #[test]
    fn a_length_is_in_whole_milliseconds() {
        for (lease, counted) in [
            (LockOptions::MAX_TTL, LockOptions::MAX_TTL),
            (Duration::from_micros(10_999), Duration::from_millis(10)),
            (Duration::ZERO, Duration::from_millis(1)),
        ] {
            assert_eq!(TtlMillis::from(lease).get(), counted);
        }
        assert!(TtlMillis::from(Duration::MAX).get() > LockOptions::MAX_TTL);
        assert_eq!(size_of::<Option<TtlMillis>>(), 4);
    }
}
