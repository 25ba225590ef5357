//! Takes over the connection and the timers from a runtime that does not run its tasks any more.
//!
//! A call that is made in one runtime may be sent by a task of another. If that other runtime is not run any more, or
//! its thread is blocked, the call would get no reply, and no lease would be renewed. So each runtime in which a caller
//! waits or a lock is held has a watching task, if the connection or the timers are driven by another runtime. It
//! probes their tasks. A task that is not polled for three quarters of the response time-out is
//! [deposed](crate::redis::connection::Connection::depose), and this runtime drives from then on. So a runtime that
//! hangs delays a call by not much more than the response time-out, and a lease that is longer than that is renewed in
//! time.
//!
//! In a process with one runtime there is no watching task.

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::Driver;
use crate::redis::connection::{Connection, Probe, RuntimeNumber, TaskSlot};
use crate::redis::lease::LeaseOwner;

/// A registered watching task. Dropping it, also with its runtime, removes the registration.
struct Watch<B: LeaseOwner> {
    driver: Weak<Driver<B>>,
    runtime: RuntimeNumber,
}

impl<B: LeaseOwner> Drop for Watch<B> {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.upgrade() {
            driver.watches.remove(self.runtime);
        }
    }
}

/// The response time-out has this many steps, and a task that was not polled for [`DEPOSED_AFTER`] of them is deposed.
/// With the step before the probe that is one response time-out.
const STEPS: u32 = 4;
const DEPOSED_AFTER: u32 = 3;

impl<B: LeaseOwner> Driver<B> {
    /// Starts a watching task in this runtime, if another runtime drives the connection or the timers.
    pub(super) fn watch_from(self: &Arc<Self>, runtime: &Handle) {
        let here = RuntimeNumber::of(runtime);
        if !self.is_driven_elsewhere(here) || !self.watches.add(here) {
            return;
        }
        let watch = Watch { driver: Arc::downgrade(self), runtime: here };
        let step = self.settings().response_timeout / STEPS;
        runtime.spawn(async move {
            // It lives for one more response time-out after the last use, so that a caller that takes lock after lock
            // does not start a task for each.
            let mut unused = 0;
            while unused < STEPS {
                let Some(probes) = watch.driver.upgrade().map(|driver| driver.probe(here)) else { return };
                let mut steps = 0;
                let driver = loop {
                    sleep(step).await;
                    steps += 1;
                    let Some(driver) = watch.driver.upgrade() else { return };
                    if steps == DEPOSED_AFTER || probes.are_answered(&driver) {
                        break driver;
                    }
                };
                driver.take_over(&probes);
                driver.serve();
                if !driver.is_driven_elsewhere(here) {
                    return;
                }
                unused = if driver.len() == 0 && driver.router.first().is_drained() { unused + 1 } else { 0 };
            }
        });
    }

    /// Whether another runtime drives the connection or the timers.
    fn is_driven_elsewhere(&self, here: RuntimeNumber) -> bool {
        !self.router.all_are(|connection| !connection.task().is_elsewhere(here)) || self.timer_task.is_elsewhere(here)
    }

    fn probe(&self, here: RuntimeNumber) -> Probes<B> {
        let probe_elsewhere = |task: &TaskSlot| if task.is_elsewhere(here) { task.probe() } else { None };
        let connections = self.router.all().into_iter();
        Probes {
            connections: connections
                .filter_map(|connection| probe_elsewhere(connection.task()).map(|probe| (connection, probe)))
                .collect(),
            timers: probe_elsewhere(&self.timer_task),
        }
    }

    /// Deposes the tasks that have not been polled since the probes.
    fn take_over(&self, probes: &Probes<B>) {
        for (connection, probe) in &probes.connections {
            if let Some(stuck) = connection.task().not_run_since(*probe) {
                connection.depose(stuck);
            }
        }
        if let Some(stuck) = probes.timers.and_then(|probe| self.timer_task.not_run_since(probe))
            && self.timer_task.resign(stuck)
        {
            self.timers.depose();
        }
    }
}

/// The probes of the tasks in other runtimes.
struct Probes<B: LeaseOwner> {
    connections: Vec<(Arc<Connection<Driver<B>>>, Probe)>,
    timers: Option<Probe>,
}

impl<B: LeaseOwner> Probes<B> {
    fn are_answered(&self, driver: &Driver<B>) -> bool {
        let mut connections = self.connections.iter();
        connections.all(|(connection, probe)| connection.task().not_run_since(*probe).is_none())
            && self.timers.is_none_or(|probe| driver.timer_task.not_run_since(probe).is_none())
    }
}
