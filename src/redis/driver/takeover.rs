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
use crate::redis::connection::{Probe, RuntimeNumber, TaskSlot};
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
        let step = self.connection.settings().response_timeout / STEPS;
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
                driver.take_over(probes);
                driver.serve();
                if !driver.is_driven_elsewhere(here) {
                    return;
                }
                unused = if driver.len() == 0 && driver.connection.is_drained() { unused + 1 } else { 0 };
            }
        });
    }

    /// Whether another runtime drives the connection or the timers.
    fn is_driven_elsewhere(&self, here: RuntimeNumber) -> bool {
        self.connection.task().is_elsewhere(here) || self.timer_task.is_elsewhere(here)
    }

    fn probe(&self, here: RuntimeNumber) -> Probes {
        let probe_elsewhere = |driver: &TaskSlot| if driver.is_elsewhere(here) { driver.probe() } else { None };
        Probes { connection: probe_elsewhere(self.connection.task()), timers: probe_elsewhere(&self.timer_task) }
    }

    /// Deposes the tasks that have not been polled since the probes.
    fn take_over(&self, probes: Probes) {
        if let Some(stuck) = probes.connection.and_then(|probe| self.connection.task().not_run_since(probe)) {
            self.connection.depose(stuck);
        }
        if let Some(stuck) = probes.timers.and_then(|probe| self.timer_task.not_run_since(probe))
            && self.timer_task.resign(stuck)
        {
            self.timers.depose();
        }
    }
}

/// The probes of the tasks in other runtimes.
#[derive(Clone, Copy)]
struct Probes {
    connection: Option<Probe>,
    timers: Option<Probe>,
}

impl Probes {
    fn are_answered<B: LeaseOwner>(self, driver: &Driver<B>) -> bool {
        let is_answered =
            |probe: Option<Probe>, driver: &TaskSlot| probe.is_none_or(|probe| driver.not_run_since(probe).is_none());
        is_answered(self.connection, driver.connection.task()) && is_answered(self.timers, &driver.timer_task)
    }
}
