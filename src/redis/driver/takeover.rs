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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;
    use crate::redis::RedisLockOptions;
    use crate::redis::backend::Backend;
    use crate::redis::connection::Caller as _;
    use crate::redis::connection_string::Server;
    use crate::redis::discovery::cluster::SlotMap;
    use crate::redis::driver::stage::Stage;

    type NodeConnection = Arc<Connection<Driver<Backend>>>;

    /// A node has given all its slots to another one. No server listens at either.
    fn left(stage: &Stage) -> (NodeConnection, NodeConnection) {
        let all_at = |epoch, port| {
            stage.driver().mapped(SlotMap::of(
                epoch,
                vec![(0, 16_383, Server::Tcp { host: "127.0.0.1".to_owned(), port, tls: false })],
            ));
            stage.driver().router.servers().remove(0)
        };
        (all_at(1, 1), all_at(2, 2))
    }

    fn stage() -> Stage {
        Stage::with(&RedisLockOptions::default().connection_string("redis+cluster://127.0.0.1:1"))
    }

    /// Calls may be in flight to a node that serves no slot any more.
    #[test]
    fn the_connection_to_a_node_that_has_no_slot_any_more_is_taken_over_too() {
        let (stage, runtimes) =
            (stage(), [(); 2].map(|()| Builder::new_current_thread().enable_all().build().unwrap()));
        let (old, new) = {
            let _inside = runtimes[0].enter();
            left(&stage)
        };
        let here = RuntimeNumber::of(runtimes[1].handle());
        assert!(old.task().is_elsewhere(here) && new.task().is_elsewhere(here));
        assert!(stage.driver().router.all().iter().any(|connection| Arc::ptr_eq(connection, &old)));
        let probes = stage.driver().probe(here);
        stage.driver().take_over(&probes);
        assert!(!old.task().is_taken() && !new.task().is_taken());
        // With nothing to send it need not be driven any more.
        let _inside = runtimes[1].enter();
        stage.driver().serve();
        assert!(!old.task().is_taken() && new.task().is_taken() && stage.driver().is_driven());
        assert_eq!(stage.driver().router.all().len(), 2);
    }

    /// What comes back into its queue is not kept for a node that is not asked for anything any more.
    #[tokio::test]
    async fn calls_that_come_back_to_a_node_without_slots_go_to_another() {
        let stage = stage();
        let (old, new) = left(&stage);
        let _waiter = stage.queued_waiter(&stage.resource);
        let calls = new.take_all();
        assert_eq!(calls.len(), 1);
        old.put_back(calls);
        stage.driver().serve();
        let gone = async {
            while !old.is_queue_empty() || old.task().is_taken() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), gone).await.unwrap();
    }
}
