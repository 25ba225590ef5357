//! Sends pending releases after the runtime that drove the connection has ended.
//!
//! If a guard is dropped at the end of `main`, its release is in flight, or not even sent, when the runtime drops the
//! tasks that would complete it. The key on the server would stay for its whole lease. So when a runtime that ends
//! drops the connection's task, that task starts a thread with a runtime of its own. The thread drives the connection
//! until the server has replied to everything that frees a lock. The ending runtime waits for the thread, for at most
//! one response time-out.
//!
//! - **D1** No thread is started and no thread waits if nothing is pending that frees a lock, if the server is known to
//!   be unreachable, or if another runtime drives the connection.
//! - **D2** A running runtime is never blocked. Only two kinds of threads wait: a thread on which a runtime is about to
//!   end, and a thread outside of all runtimes while none drives the connection.
//! - **D3** All waits of one outage together last one response time-out at most, for any number of dropped guards.

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

/// How long the thread waits for more releases once it has all replies: an ending runtime drops its tasks, and so their
/// guards, one after the other.
const LINGER: Duration = Duration::from_millis(20);

/// How long another runtime that uses the provider has to start driving the connection, before the thread does it.
const GRACE: Duration = Duration::from_millis(10);

const TICK: Duration = Duration::from_millis(1);

/// How soon refused cancellations are sent again.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

thread_local! {
    /// Set on the draining thread. When its own runtime ends, it must not wait for itself.
    static IS_DRAIN_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks the draining thread as running until it is dropped.
struct RunningGuard<B: LeaseOwner>(Arc<Driver<B>>);

impl<B: LeaseOwner> Drop for RunningGuard<B> {
    fn drop(&mut self) {
        self.0.drain.is_running.store(false, SeqCst);
        // Under the mutex: otherwise a waiter that has checked the flag and does not wait yet would miss the
        // notification.
        let until = self.0.drain.until.lock();
        self.0.drain.changed.notify_all();
        drop(until);
    }
}

impl<B: LeaseOwner> Driver<B> {
    /// A runtime has ended, and with it the task that drove the connection. `other_runtimes`: another runtime may drive
    /// it. Returns whether the queued calls will be sent.
    pub(super) fn drain_after_a_runtime(self: &Arc<Self>, exit: SupervisorExit, other_runtimes: bool) -> bool {
        let pending = self.frees_are_pending()
            || other_runtimes && !self.router.all_are(|connection| connection.is_queue_empty());
        if IS_DRAIN_THREAD.get() {
            return other_runtimes && pending;
        }
        if !pending || !exit.within_reach || thread::panicking() {
            return false;
        }
        let is_draining = self.start_draining(other_runtimes);
        if exit.may_block {
            self.wait_until_drained();
        }
        is_draining
    }

    /// A call was made outside of all runtimes, perhaps by a guard that was dropped. Drains if no runtime drives the
    /// connection.
    pub(super) fn drain_outside_of_runtimes(self: &Arc<Self>) {
        if !self.is_driven() && self.frees_are_pending() && self.router.first().is_within_reach() {
            self.start_draining(false);
            self.wait_until_drained();
        }
    }

    /// Waits for a running drain if the present runtime is ending: no other code would wait for the release of a guard
    /// that is dropped now, before the process ends.
    pub(super) fn wait_for_drain(&self) {
        if self.drain.is_running.load(SeqCst) && is_outside_running_runtime() {
            self.drain.wait_deadline(self.settings().response_timeout);
            self.wait_until_drained();
        }
    }

    /// Whether a task drives each connection.
    pub(super) fn is_driven(&self) -> bool {
        self.router.all_are(|connection| connection.task().is_taken())
    }

    /// Whether a release or a cancellation is pending.
    fn frees_are_pending(&self) -> bool {
        !self.all_cancelled() || !self.router.all_are(|connection| !connection.has_urgent())
    }

    /// Starts the draining thread, unless it runs already. `false` if it does not run.
    fn start_draining(self: &Arc<Self>, other_runtimes: bool) -> bool {
        let Some(until) = self.drain.wait_deadline(self.settings().response_timeout) else { return false };
        if self.drain.is_running.swap(true, SeqCst) {
            return true;
        }
        let guard = RunningGuard(Arc::clone(self));
        let builder = thread::Builder::new().name("orchestrix-locking-drain".to_owned());
        builder.spawn(move || drain_in_thread(&guard, other_runtimes, until)).is_ok()
    }

    fn wait_until_drained(&self) {
        if IS_DRAIN_THREAD.get() {
            return;
        }
        let mut until = self.drain.until.lock();
        while let Some(end) = *until
            && self.drain.is_running.load(SeqCst)
            && !self.is_drained()
        {
            if self.drain.changed.wait_until(&mut until, end).timed_out() {
                return;
            }
        }
    }

    fn is_drained(&self) -> bool {
        !self.frees_are_pending() && self.router.first().is_drained()
    }

    /// Drives the connection until the server has replied to all releases and cancellations, and for [`LINGER`] more.
    async fn drain(self: &Arc<Self>, other_runtimes: bool, until: Instant) {
        let time_left = || until.saturating_duration_since(Instant::now());
        if other_runtimes {
            // A runtime in which the provider is used should drive the connection.
            let is_driven = async {
                while !self.is_driven() {
                    sleep(TICK).await;
                }
            };
            if timeout(GRACE.min(time_left()), is_driven).await.is_ok() {
                return;
            }
        }
        // Before `serve`: a retired connection is driven only while a call is queued.
        self.cancel_all_again();
        loop {
            self.serve();
            let drained = async {
                while !self.is_drained() {
                    if timeout(TICK, self.router.first().drained()).await.is_ok() && !self.is_drained() {
                        // A cancellation was refused, or has no reply. The timers of a dropped provider do not run, so
                        // it is retried here.
                        sleep(RETRY_INTERVAL).await;
                        self.cancel_all_again();
                    }
                    if self.router.first().unreachable_error().is_some() {
                        return false;
                    }
                    self.serve();
                }
                true
            };
            if !timeout(time_left(), drained).await.unwrap_or(false) {
                return;
            }
            self.drain.finish_outage();
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

fn drain_in_thread<B: LeaseOwner>(guard: &RunningGuard<B>, other_runtimes: bool, until: Instant) {
    IS_DRAIN_THREAD.set(true);
    if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
        runtime.block_on(guard.0.drain(other_runtimes, until));
    }
}

/// Whether the present thread is in no runtime, or in one that is ending. An ending runtime drops a spawned task at
/// once.
fn is_outside_running_runtime() -> bool {
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
