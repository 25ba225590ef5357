//! [`Watches`]: in which runtimes a task watches whether the provider's tasks are run.

use parking_lot::Mutex;

use crate::redis::connection::RuntimeNumber;

/// In which runtimes there is a task that watches the drivers.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<Vec<RuntimeNumber>>);

impl Watches {
    /// Whether there is one in any.
    pub(super) fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Notes one more. `false` if this runtime has one.
    pub(super) fn add(&self, runtime: RuntimeNumber) -> bool {
        let mut watches = self.0.lock();
        let new = !watches.contains(&runtime);
        if new {
            watches.push(runtime);
        }
        new
    }

    pub(super) fn remove(&self, runtime: RuntimeNumber) {
        self.0.lock().retain(|watch| *watch != runtime);
    }
}
