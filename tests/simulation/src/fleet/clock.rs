//! [`Clock`]: the clock of a process.

use std::time::Duration;

use super::Time;

/// A monotonic clock that may be faster or slower than the server's, and stands still while its machine is suspended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// What it said, in nanoseconds, at this time.
    said: u64,
    at: Time,
    drift: i64,
    /// How often it has stood still.
    pub(super) epoch: u16,
}

impl Clock {
    pub(super) fn new(at: Time, drift: i64) -> Self {
        // Later than anything that is taken off it.
        let said = 1_000_000_000_000 + at * 1_000;
        Self { said, at, drift, epoch: 0 }
    }

    fn rate(&self) -> u64 {
        1_000_000_u64.saturating_add_signed(self.drift)
    }

    /// What it says.
    pub(super) fn now(&self, time: Time) -> Duration {
        Duration::from_nanos(self.said + time.saturating_sub(self.at) * self.rate() / 1_000)
    }

    /// When it will say this, or has said it.
    pub(super) fn time_of(&self, said: Duration) -> Time {
        let said = u64::try_from(said.as_nanos()).unwrap_or(u64::MAX / 2_000);
        match said.checked_sub(self.said) {
            Some(later) => {
                self.at
                    + u64::try_from((u128::from(later) * 1_000).div_ceil(u128::from(self.rate())))
                        .unwrap_or(Time::MAX / 4)
            }
            None => self.at.saturating_sub((self.said - said).div_ceil(1_000)),
        }
    }

    /// It has stood still from one time to another.
    pub(super) fn stood_still(&mut self, from: Time, to: Time) {
        *self = Self {
            said: u64::try_from(self.now(from).as_nanos()).unwrap_or(0),
            at: to,
            epoch: self.epoch.wrapping_add(1),
            ..*self
        };
    }
}
