//! Jitter: times that differ a little from process to process, so that not all of them make a call at the same moment.

use std::time::Duration;

/// Between 90 and 100 % of a time.
pub(super) fn jittered(time: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without random numbers there is no jitter, which does no harm.
    if getrandom::fill(&mut byte).is_err() {
        return time;
    }
    let [byte] = byte;
    jittered_by(byte, time)
}

/// The same by a byte that is given.
pub(super) fn jittered_by(byte: u8, time: Duration) -> Duration {
    time.saturating_sub(time * u32::from(byte) / 2550)
}
