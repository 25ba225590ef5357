//! [`Clocks`]: whether the machine was suspended, seen from the difference of the wall clock and the monotonic clock.
//!
//! Leases are counted by the monotonic clock. On Linux and macOS that clock stops while the machine is suspended, and the
//! server's clock does not. So a lease that was requested before a suspend seems to last although another owner may have the
//! lock. The wall clock goes on during a suspend. If the two clocks have advanced differently since a call was sent, its reply
//! may be much older than it seems, and the server is asked again.
//!
//! The wall clock decides nothing else. If an operator sets it, that costs one more call, and neither a lease nor an error.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use crate::engine::Epoch;

/// By how many milliseconds the clocks may differ in an epoch. They are read one after the other, and the thread may be
/// stopped in between; some systems adjust the speed of one of them. A suspend takes much longer.
const TOLERANCE: u64 = 10;

const EPOCH_BITS: u32 = 16;

/// The two clocks of this machine.
#[derive(Debug)]
pub(super) struct Clocks {
    /// The first readings of both.
    began: (Instant, SystemTime),
    /// By how many milliseconds the wall clock was ahead of the monotonic one when the present epoch began; and in the lower 16
    /// bits the number of the epoch. Both change in one step.
    present: AtomicI64,
    /// What tests add to the wall clock.
    #[cfg(test)]
    suspended: AtomicI64,
}

impl Clocks {
    pub(super) fn new() -> Self {
        Self {
            began: (Instant::now(), SystemTime::now()),
            present: AtomicI64::new(0),
            #[cfg(test)]
            suspended: AtomicI64::new(0),
        }
    }

    /// The present epoch. Reads both clocks.
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch_at(self.ahead())
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the lower bits are the epoch's number"
    )]
    fn epoch_at(&self, ahead: i64) -> Epoch {
        loop {
            let present = self.present.load(SeqCst);
            let epoch = present as u16;
            if (present >> EPOCH_BITS).abs_diff(ahead) <= TOLERANCE {
                return Epoch(epoch);
            }
            let next = epoch.wrapping_add(1);
            let changed = (ahead << EPOCH_BITS) | i64::from(next);
            if self.present.compare_exchange(present, changed, SeqCst, SeqCst).is_ok() {
                return Epoch(next);
            }
        }
    }

    /// By how many milliseconds the wall clock is ahead of the monotonic one, compared with the first readings.
    fn ahead(&self) -> i64 {
        let (instant, wall) = self.began;
        // In this order, and close together.
        let (monotonic, now) = (instant.elapsed(), SystemTime::now());
        let wall = match now.duration_since(wall) {
            Ok(later) => milliseconds(later),
            Err(earlier) => -milliseconds(earlier.duration()),
        };
        #[cfg(test)]
        let wall = wall + self.suspended.load(SeqCst);
        wall.saturating_sub(milliseconds(monotonic))
    }

    /// Acts as a suspend of this length: only the wall clock advances.
    #[cfg(test)]
    pub(super) fn suspend(&self, time: Duration) {
        self.suspended.fetch_add(milliseconds(time), SeqCst);
    }
}

/// At most two thousand years, so that the difference of two such times fits beside the number of an epoch.
fn milliseconds(time: Duration) -> i64 {
    const LONGEST: i64 = 1 << 46;
    i64::try_from(time.as_millis()).map_or(LONGEST, |time| time.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_lasts_while_both_clocks_advance_alike() {
        let clocks = Clocks::new();
        let first = clocks.epoch_at(0);
        assert_eq!([clocks.epoch_at(10), clocks.epoch_at(-10), clocks.epoch_at(0)], [first; 3]);
        let second = clocks.epoch_at(11);
        assert_ne!(first, second);
        assert_eq!(clocks.epoch_at(21), second, "compared with the beginning of the epoch");
        let third = clocks.epoch_at(-1_000_000_000_000);
        assert_ne!(second, third, "a wall clock that was set back begins an epoch too");
        assert_eq!(clocks.epoch_at(-1_000_000_000_003), third);
    }

    /// Small differences that add up to a large one are noticed.
    #[test]
    fn many_small_suspends_are_a_long_one() {
        let clocks = Clocks::new();
        let first = clocks.epoch_at(0);
        assert!((1..=4).map(|step| clocks.epoch_at(step * 5)).any(|epoch| epoch != first));
    }

    #[test]
    fn a_suspend_begins_an_epoch() {
        let clocks = Clocks::new();
        let before = clocks.epoch();
        clocks.suspend(Duration::from_secs(60));
        let after = clocks.epoch();
        assert_ne!(before, after);
    }
}
