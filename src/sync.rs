//! The mutex, atomics, clock and timers of this crate: those of `parking_lot`, `std` and tokio, or models of them.
//!
//! All code whose interleavings are checked with loom uses them from here.

#[cfg(all(test, orchestrix_loom))]
pub(crate) mod modelled;
mod outside;

#[cfg(feature = "redis")]
pub(crate) use outside::Inside;
pub(crate) use outside::assert_outside;

#[cfg(all(feature = "memory", test, orchestrix_loom))]
pub(crate) use modelled::{AtomicBool, MutexGuard};
#[cfg(all(test, orchestrix_loom))]
pub(crate) use modelled::{AtomicU64, Mutex, Sleep, now, sleep_until};

#[cfg(not(all(test, orchestrix_loom)))]
pub(crate) use std::sync::atomic::AtomicU64;

#[cfg(all(feature = "memory", not(all(test, orchestrix_loom))))]
pub(crate) use std::sync::atomic::AtomicBool;

#[cfg(not(all(test, orchestrix_loom)))]
pub(crate) use parking_lot::Mutex;
#[cfg(all(feature = "memory", not(all(test, orchestrix_loom))))]
pub(crate) use parking_lot::MutexGuard;

#[cfg(not(all(test, orchestrix_loom)))]
pub(crate) use tokio::time::{Sleep, sleep_until};

/// The time by tokio's clock.
#[cfg(not(all(test, orchestrix_loom)))]
#[inline]
pub(crate) fn now() -> tokio::time::Instant {
    #[cfg(feature = "__simulation")]
    if let Some(now) = simulated::NOW.get() {
        return now;
    }
    tokio::time::Instant::now()
}

/// The clock of the process that is simulated on this thread, if one is.
#[cfg(feature = "__simulation")]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        pub(crate) static NOW: Cell<Option<tokio::time::Instant>> = const { Cell::new(None) };
    }
}
