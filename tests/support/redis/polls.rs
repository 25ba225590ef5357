//! Waiting for what servers do among themselves.

use std::time::{Duration, Instant};

use super::server::LIMIT;

const BETWEEN_LOOKS: Duration = Duration::from_millis(5);

/// Of several tests that start servers at the same time, whose looks are work for these.
const BETWEEN_BLOCKING_LOOKS: Duration = Duration::from_millis(10);

/// Blocks until a look finds what it looks for. A look that does not says what it saw.
///
/// # Panics
///
/// After [`LIMIT`].
pub(super) fn block_until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "not in time: {what}: {seen}"),
        }
        std::thread::sleep(BETWEEN_BLOCKING_LOOKS);
    }
}

/// As [`block_until`], and other tasks go on. On tokio's clock between the looks, so not under paused time.
pub(super) async fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "not in time: {what}: {seen}"),
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
