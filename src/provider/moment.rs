//! The end of a lease as one number, which one atomic operation changes: a time, or one of four marks.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

pub(super) const PENDING: u64 = 0;
pub(super) const RELEASED: u64 = 1;
pub(super) const LOST: u64 = 2;
pub(super) const FIRST_TIME: u64 = 3;
pub(super) const NO_END: u64 = u64::MAX;

/// A time as a number: nanoseconds from 146 years before the first time that was ever written, above the marks.
///
/// Times before the first one are as good as those after it: a paused clock may lag behind the process's first
/// lease, or have been far ahead when that was granted.
#[inline]
pub(super) fn written(time: Option<Instant>) -> u64 {
    time.map_or(NO_END, written_time)
}

fn written_time(time: Instant) -> u64 {
    const ORIGIN_AT: u64 = 1 << 62;
    static ORIGIN: LazyLock<std::time::Instant> = LazyLock::new(std::time::Instant::now);
    let time = time.into_std();
    let nanoseconds =
        |span: Duration| span.as_secs().saturating_mul(1_000_000_000).saturating_add(span.subsec_nanos().into());
    match time.checked_duration_since(*ORIGIN) {
        Some(after) => ORIGIN_AT.saturating_add(nanoseconds(after)).min(NO_END - 1),
        None => ORIGIN_AT.saturating_sub(nanoseconds(ORIGIN.saturating_duration_since(time))).max(FIRST_TIME),
    }
}
