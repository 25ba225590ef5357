//! [`Drain`]: how long the end of a runtime waits for what is pending.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The draining thread, if there is one, and the waits for it.
#[derive(Debug, Default)]
pub(super) struct Drain {
    pub(super) is_running: AtomicBool,
    /// The deadline of all waits of the present outage (D3). Cleared when all replies are there. It also counts as
    /// spent for one more response time-out after it has passed.
    pub(super) until: Mutex<Option<Instant>>,
    /// Notified when all replies are there, or the thread has ended.
    pub(super) changed: Condvar,
}

impl Drain {
    /// The deadline of the waits of the present outage. `None` if it has passed (D3).
    pub(super) fn wait_deadline(&self, response_timeout: Duration) -> Option<Instant> {
        let now = Instant::now();
        let mut until = self.until.lock();
        match *until {
            Some(until) if now < until => Some(until),
            Some(until) if now < until + response_timeout => None,
            _ => {
                let new = now + response_timeout;
                *until = Some(new);
                Some(new)
            }
        }
    }

    pub(super) fn finish_outage(&self) {
        *self.until.lock() = None;
        self.changed.notify_all();
    }
}
