//! Which runtime drives the connection and the timers.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Driver;
use crate::redis::connection::{Generation, WatchedTask};
use crate::redis::lease::LeaseOwner;

impl<B: LeaseOwner> Driver<B> {
    /// Sees to it that the connection and the timer queue are driven, in the present runtime if in no other. A caller that
    /// waits for a reply calls [`serve_from_here`](Self::serve_from_here) afterwards, so that it is not left alone with it.
    pub(in crate::redis) fn serve(self: &Arc<Self>) {
        let timers_are_driven = || self.timer_task.is_taken() || self.timers.has_ended();
        if self.is_driven() && timers_are_driven() {
            return;
        }
        self.router.ensure_driven(self);
        let Ok(runtime) = Handle::try_current() else { return };
        if timers_are_driven() {
            return;
        }
        let Some(generation) = self.timer_task.claim(&runtime) else { return };
        let running = TimersRun(Arc::clone(self), generation);
        runtime.spawn(WatchedTask::new(&self.timer_task, generation, async move {
            let TimersRun(driver, _) = &running;
            driver.timers.run(|timer, event| driver.due(timer, event)).await;
        }));
    }

    /// The same for what a caller of the present runtime waits for, or a caller outside of every runtime: it is also done if
    /// the runtime that drives the connection is not run any more, or has ended.
    pub(in crate::redis) fn serve_from_here(self: &Arc<Self>) {
        self.serve();
        match Handle::try_current() {
            Ok(runtime) => self.watch_from(&runtime),
            Err(_) => self.drain_outside_of_runtimes(),
        }
        self.wait_for_drain();
    }

    /// What a runtime has left alone is served in another one: by a waiter there, or for a holder. Whether there may be
    /// another.
    pub(super) fn serve_elsewhere(self: &Arc<Self>) -> bool {
        let mut waiters = Vec::new();
        let mut runtimes = HashMap::new();
        let mut any = self.watches.any();
        self.table.look_at_each(|lock| {
            waiters.extend(lock.waiters().map(Arc::clone));
            for runtime in lock.holders().filter_map(|holder| holder.runtime()) {
                runtimes.entry(runtime.id()).or_insert(runtime);
            }
        });
        for waiter in waiters {
            any |= waiter.wake();
        }
        for runtime in runtimes.into_values() {
            let driver = Arc::clone(self);
            any = true;
            // In a runtime that has ended as well, this is dropped without having run.
            runtime.spawn(async move { driver.serve() });
        }
        any
    }

    /// Ends the provider's tasks. What has been queued is sent still.
    pub(in crate::redis) fn retire(&self) {
        // The first one before the others are looked up: those that are made from now on are retired from the beginning.
        self.router.first().retire();
        self.router.all().iter().for_each(|connection| connection.retire());
        self.timers.end();
    }
}

/// Says that a task runs the timer queue. Dropped, also with its runtime or before it began, it does not any more; if another
/// task has taken over before, nothing changes.
struct TimersRun<B: LeaseOwner>(Arc<Driver<B>>, Generation);

impl<B: LeaseOwner> Drop for TimersRun<B> {
    fn drop(&mut self) {
        if self.0.timer_task.resign(self.1) {
            self.0.serve_elsewhere();
        } else if let Ok(runtime) = Handle::try_current() {
            // Deposed: another runtime drives now, and may be left alone in its turn.
            self.0.watch_from(&runtime);
        }
    }
}
