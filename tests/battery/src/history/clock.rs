//! The clock that all processes of the machine share.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds by `CLOCK_MONOTONIC`, which also counts while a process is stopped.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
