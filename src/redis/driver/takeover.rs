//! Noticing that the runtime which drives the connection is not run any more, and taking its work over.
//!
//! What is asked for in one runtime may be sent by a task of another. If that other runtime lives on without being run, or
//! a thread of it is blocked, the call would have no answer, and no lease would be renewed. So each runtime in which
//! something of the provider is waited for or held has a task that probes the drivers, if they are of another runtime. One
//! that is not polled for three quarters of the response time-out is [deposed](super::super::link::Connection::depose), and this
//! runtime drives from then on. So no call takes much longer than the response time-out for want of another runtime, and
//! a lease of more than that is renewed in time.
//!
//! Where one runtime is all that there is, there is no such task.

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::Driver;
use crate::redis::connection::{Probe, RuntimeNumber, TaskSlot};
use crate::redis::lease::LeaseOwner;

/// A watch that is noted. Dropped it is not any more, also with its runtime.
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

/// In how many steps the response time-out is watched, and after how many a driver that was not polled is deposed. With
/// the step until the probe that is one time-out.
const STEPS: u32 = 4;
const DEPOSED_AFTER: u32 = 3;

impl<B: LeaseOwner> Driver<B> {
    /// Has the drivers watched from this runtime, if they are of another one.
    pub(super) fn watch_from(self: &Arc<Self>, runtime: &Handle) {
        let here = RuntimeNumber::of(runtime);
        if !self.is_driven_elsewhere(here) || !self.watches.add(here) {
            return;
        }
        let watch = Watch { driver: Arc::downgrade(self), runtime: here };
        let step = self.connection.settings().response_timeout / STEPS;
        runtime.spawn(async move {
            // For one time-out after the last use: a caller that takes lock after lock does not begin a task for each.
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

    /// Whether a driver is a task of another runtime.
    fn is_driven_elsewhere(&self, here: RuntimeNumber) -> bool {
        self.connection.task().is_elsewhere(here) || self.timer_task.is_elsewhere(here)
    }

    fn probe(&self, here: RuntimeNumber) -> Probes {
        let of = |driver: &TaskSlot| if driver.is_elsewhere(here) { driver.probe() } else { None };
        Probes { connection: of(self.connection.task()), timers: of(&self.timer_task) }
    }

    /// Deposes the drivers that have not been polled since they were probed.
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

/// Of the drivers of other runtimes.
#[derive(Clone, Copy)]
struct Probes {
    connection: Option<Probe>,
    timers: Option<Probe>,
}

impl Probes {
    fn are_answered<B: LeaseOwner>(self, driver: &Driver<B>) -> bool {
        let answered =
            |probe: Option<Probe>, driver: &TaskSlot| probe.is_none_or(|probe| driver.not_run_since(probe).is_none());
        answered(self.connection, driver.connection.task()) && answered(self.timers, &driver.timer_task)
    }
}
