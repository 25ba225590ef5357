//! Choices from a seed.

use std::time::Duration;

/// `SplitMix64`: small, and good enough for choices.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The choices of one of the tasks of a process.
    pub(super) fn new(seed: u64, task: u64) -> Self {
        let mut random = Self(seed ^ task.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        // Seeds that are neighbours begin alike.
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below `end`; 0 if that is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    /// Up to `longest`, in microseconds.
    pub(super) fn up_to(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(longest.as_micros()).unwrap_or(u64::MAX)))
    }
}
