//! [`Watches`]: in which runtimes a task watches whether the provider's tasks are run.

use parking_lot::Mutex;

use crate::redis::connection::RuntimeNumber;

/// The runtimes that have a watching task.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<Vec<RuntimeNumber>>);

impl Watches {
    /// Whether any runtime has one.
    pub(super) fn any(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Registers a watching task. `false` if this runtime has one already.
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
