//! Finishing what is pending after the runtime that drove the connection has ended.
//!
//! A guard that is dropped at the end of `main` has its release in flight, or not even sent, when the runtime drops the
//! tasks that would see to it; the key would stay for its whole lease. So the task that drives the connection, dropped by
//! a runtime that ends, hands over to a thread with a runtime of its own, which lives until the server has answered
//! everything that frees a lock. The ending runtime waits for that, for the response time-out at most.
//!
//! - **D1** No thread is begun and nothing waits while nothing is pending that frees a lock, while the server is known to
//!   be out of reach, or when another runtime drives the connection.
//! - **D2** A runtime that goes on is never blocked: only a thread waits on which a runtime is about to end, or that is in
//!   none while none drives the connection.
//! - **D3** All waits for one outage together last no longer than one response time-out, however many guards are dropped.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

use super::Driver;
use crate::redis::connection::SupervisorExit;
use crate::redis::lease::LeaseOwner;

/// How long the thread waits for more once everything is answered: the guards of an ending runtime's other tasks are
/// dropped one after the other.
const LINGER: Duration = Duration::from_millis(20);

/// How long another runtime in which the provider is used has to begin before the thread does it.
const GRACE: Duration = Duration::from_millis(10);

const TICK: Duration = Duration::from_millis(1);

/// How soon what was refused is tried again.
const AGAIN: Duration = Duration::from_millis(50);

thread_local! {
    /// This is a thread that drains. What it leaves is not waited for by itself.
    static DRAINS: Cell<bool> = const { Cell::new(false) };
}

/// Says that the thread runs. Dropped it does not any more.
struct Runs<B: LeaseOwner>(Arc<Driver<B>>);

impl<B: LeaseOwner> Drop for Runs<B> {
    fn drop(&mut self) {
        self.0.drain.runs.store(false, SeqCst);
        // Under the mutex: a waiter that has just looked would miss it.
        let until = self.0.drain.until.lock();
        self.0.drain.changed.notify_all();
        drop(until);
    }
}

impl<B: LeaseOwner> Driver<B> {
    /// A runtime has ended, and with it the task that drove the connection. Whether what has been pushed is seen to.
    pub(super) fn drain_after_a_runtime(self: &Arc<Self>, left: SupervisorExit, others: bool) -> bool {
        let pending = self.frees_are_pending() || others && !self.connection.is_queue_empty();
        if DRAINS.get() {
            return others && pending;
        }
        if !pending || !left.within_reach || thread::panicking() {
            return false;
        }
        let begun = self.begin_to_drain(others);
        if left.may_block {
            self.wait_until_drained();
        }
        begun
    }

    /// A guard was dropped outside of every runtime, and none drives the connection.
    pub(super) fn drain_outside_of_runtimes(self: &Arc<Self>) {
        if !self.connection.task().is_taken()
            && self.frees_are_pending()
            && self.connection.unreachable_error().is_none()
        {
            self.begin_to_drain(false);
            self.wait_until_drained();
        }
    }

    /// While the thread runs, a guard that is dropped in an ending runtime waits for it as the first did: nothing else does
    /// before the process ends.
    pub(super) fn wait_for_drain(&self) {
        if self.drain.runs.load(SeqCst) && is_in_no_runtime_that_goes_on() {
            self.drain.begin(self.connection.settings().response_timeout);
            self.wait_until_drained();
        }
    }

    /// Whether something is pending that frees a lock: a release, or an acquire that is to be taken back.
    fn frees_are_pending(&self) -> bool {
        !self.all_cancelled() || self.connection.has_urgent()
    }

    /// Whether the thread runs, or can be begun.
    fn begin_to_drain(self: &Arc<Self>, others: bool) -> bool {
        let Some(until) = self.drain.begin(self.connection.settings().response_timeout) else { return false };
        if self.drain.runs.swap(true, SeqCst) {
            return true;
        }
        let runs = Runs(Arc::clone(self));
        let named = thread::Builder::new().name("orchestrix-locking-drain".to_owned());
        named.spawn(move || drain_in_thread(&runs, others, until)).is_ok()
    }

    fn wait_until_drained(&self) {
        if DRAINS.get() {
            return;
        }
        let mut until = self.drain.until.lock();
        while let Some(end) = *until
            && self.drain.runs.load(SeqCst)
            && !self.is_drained()
        {
            if self.drain.changed.wait_until(&mut until, end).timed_out() {
                return;
            }
        }
    }

    fn is_drained(&self) -> bool {
        !self.frees_are_pending() && self.connection.is_drained()
    }

    /// Drives the connection until everything is answered that frees a lock, and for a moment longer.
    async fn drain(self: &Arc<Self>, others: bool, until: Instant) {
        let left = || until.saturating_duration_since(Instant::now());
        if others {
            // Where the provider is used still it is better driven.
            let begun = async {
                while !self.connection.task().is_taken() {
                    sleep(TICK).await;
                }
            };
            if timeout(GRACE.min(left()), begun).await.is_ok() {
                return;
            }
        }
        // Before it is served: a link that is retired is served only while something is pushed.
        self.cancel_all_again();
        loop {
            self.serve();
            let answered = async {
                while !self.is_drained() {
                    if timeout(TICK, self.connection.drained()).await.is_ok() && !self.is_drained() {
                        // Refused, or not answered. The agenda of a provider that is gone does not come back to it.
                        sleep(AGAIN).await;
                        self.cancel_all_again();
                    }
                    if self.connection.unreachable_error().is_some() {
                        return false;
                    }
                    self.serve();
                }
                true
            };
            if !timeout(left(), answered).await.unwrap_or(false) {
                return;
            }
            self.drain.everything_is_answered();
            let more = async {
                while self.is_drained() {
                    sleep(TICK).await;
                }
            };
            if timeout(LINGER, more).await.is_err() {
                return;
            }
        }
    }
}

fn drain_in_thread<B: LeaseOwner>(runs: &Runs<B>, others: bool, until: Instant) {
    DRAINS.set(true);
    if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
        runtime.block_on(runs.0.drain(others, until));
    }
}

/// Whether the present thread is in no runtime, or in one that is ending: that drops what is spawned at once.
fn is_in_no_runtime_that_goes_on() -> bool {
    const WAITS: u8 = 0;
    const RUNS: u8 = 1;
    const DROPPED: u8 = 2;
    struct Probe(Arc<AtomicU8>);
    impl Drop for Probe {
        fn drop(&mut self) {
            _ = self.0.compare_exchange(WAITS, DROPPED, SeqCst, SeqCst);
        }
    }
    let Ok(runtime) = Handle::try_current() else { return true };
    let state = Arc::new(AtomicU8::new(WAITS));
    let probe = Probe(Arc::clone(&state));
    runtime.spawn(async move { probe.0.store(RUNS, SeqCst) });
    state.load(SeqCst) == DROPPED
}
