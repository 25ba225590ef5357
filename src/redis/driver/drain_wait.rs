//! [`Drain`]: how long the end of a runtime waits for what is pending.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The thread that finishes what ended runtimes have left, if there is one.
#[derive(Debug, Default)]
pub(super) struct Drain {
    pub(super) runs: AtomicBool,
    /// Until when anything waits for it (D3). Kept until everything is answered, or as long again.
    pub(super) until: Mutex<Option<Instant>>,
    /// Everything is answered, or the thread has ended.
    pub(super) changed: Condvar,
}

impl Drain {
    /// Until when the present outage is waited for. `None` if it has been for long enough.
    pub(super) fn begin(&self, longest: Duration) -> Option<Instant> {
        let now = Instant::now();
        let mut until = self.until.lock();
        match *until {
            Some(until) if now < until => Some(until),
            Some(until) if now < until + longest => None,
            _ => {
                let new = now + longest;
                *until = Some(new);
                Some(new)
            }
        }
    }

    pub(super) fn everything_is_answered(&self) {
        *self.until.lock() = None;
        self.changed.notify_all();
    }
}
