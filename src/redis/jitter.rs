//! Jitter: times that differ a little from process to process, so that not all of them make a call at the same moment.

use std::time::Duration;

/// Between 90 and 100 % of a time.
pub(super) fn jittered(time: Duration) -> Duration {
    jittered_by(random_byte(), time)
}

/// Between 50 and 100 % of a time.
pub(super) fn widely_jittered(time: Duration) -> Duration {
    time.saturating_sub(time * u32::from(random_byte()) / 510)
}

/// Without random numbers it is 0: no jitter, which does no harm.
fn random_byte() -> u8 {
    let mut byte = [0_u8; 1];
    _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    byte
}

/// The same by a byte that is given.
pub(super) fn jittered_by(byte: u8, time: Duration) -> Duration {
    time.saturating_sub(time * u32::from(byte) / 2550)
}
