//! [`TaskSlot`]: which task drives something, and whether its runtime still runs that task.
//!
//! A provider's tasks run in a runtime of the application. That runtime can end, which drops the tasks. It can also live on
//! without being run: a current-thread runtime that is kept after its `block_on` has returned. Then its tasks neither go on
//! nor end, and a task in another runtime has to take their work over. A task that was deposed in this way may run again
//! later. So each task has a generation, and one whose generation is over ends at its next poll, before it changes
//! anything.

use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread::ThreadId;

use parking_lot::Mutex;
use pin_project::pin_project;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Says which task drives something. At most one does at a time.
#[derive(Debug, Default)]
pub(in crate::redis) struct TaskSlot {
    /// Odd: the generation of the present task. Even: there is none.
    generation: AtomicU64,
    /// The runtime of the present task. Written before its generation is.
    runtime: AtomicU64,
    /// The number of the latest probe, and that of the latest one before a poll of the present task.
    sent: AtomicU64,
    answered: AtomicU64,
    task: Mutex<Option<Task>>,
}

/// The present task, once it has been polled.
#[derive(Debug)]
struct Task {
    generation: Generation,
    waker: Waker,
    thread: ThreadId,
}

/// The time of one task, from its claim to its resignation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) struct Generation(u64);

/// A number that identifies a runtime and fits into an atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) struct RuntimeNumber(u64);

/// A wake-up of the task, to find out whether its runtime polls it.
#[derive(Debug, Clone, Copy)]
pub(in crate::redis) struct Probe {
    generation: Generation,
    number: u64,
}

impl TaskSlot {
    /// Lets a task of this runtime take the slot. `None` if it is taken.
    pub(in crate::redis) fn claim(&self, runtime: &Handle) -> Option<Generation> {
        // Under the mutex, so that no other claim writes its runtime between this one's runtime and generation.
        let mut task = self.task.lock();
        let vacant = self.generation.load(SeqCst);
        if vacant % 2 == 1 {
            return None;
        }
        self.runtime.store(RuntimeNumber::of(runtime).0, SeqCst);
        let generation = Generation(vacant + 1);
        self.generation.store(generation.0, SeqCst);
        let before = task.take();
        drop(task);
        // Not under the mutex: a waker may be the last that keeps a task, whose drop runs other code.
        drop(before);
        Some(generation)
    }

    /// Ends the time of a task. `false` if it had ended before.
    pub(in crate::redis) fn resign(&self, generation: Generation) -> bool {
        self.generation.compare_exchange(generation.0, generation.0 + 1, SeqCst, SeqCst).is_ok()
    }

    pub(in crate::redis) fn is_taken(&self) -> bool {
        self.generation.load(SeqCst) % 2 == 1
    }

    pub(in crate::redis) fn is_current(&self, generation: Generation) -> bool {
        self.generation.load(SeqCst) == generation.0
    }

    /// Whether the present task is one of another runtime than this.
    pub(in crate::redis) fn is_elsewhere(&self, here: RuntimeNumber) -> bool {
        self.is_taken() && self.runtime.load(SeqCst) != here.0
    }

    /// The runtime of the present task, or of the latest.
    pub(in crate::redis) fn runtime(&self) -> RuntimeNumber {
        RuntimeNumber(self.runtime.load(SeqCst))
    }

    /// The present task, if it is one of this runtime.
    pub(in crate::redis) fn present_in(&self, runtime: RuntimeNumber) -> Option<Generation> {
        let generation = Generation(self.generation.load(SeqCst));
        (generation.0 % 2 == 1 && self.runtime() == runtime).then_some(generation)
    }

    /// Wakes the present task, whose next poll answers the probe. `None` while there is none.
    pub(in crate::redis) fn probe(&self) -> Option<Probe> {
        let generation = Generation(self.generation.load(SeqCst));
        if generation.0.is_multiple_of(2) {
            return None;
        }
        let number = self.sent.fetch_add(1, SeqCst) + 1;
        let waker = self.task.lock().as_ref().map(|task| task.waker.clone());
        if let Some(waker) = waker {
            waker.wake();
        }
        Some(Probe { generation, number })
    }

    /// The present task, if it has not been polled since the probe was sent.
    pub(in crate::redis) fn not_run_since(&self, probe: Probe) -> Option<Generation> {
        (self.is_current(probe.generation) && self.answered.load(SeqCst) < probe.number).then_some(probe.generation)
    }

    /// Whether the present thread may be blocked while it drops the present task: it is about to end a runtime, and runs nothing
    /// else.
    ///
    /// A current-thread runtime may be ended in the background by a thread on which another runtime runs tasks, which must not
    /// be blocked. That is hardly ever the thread on which the task was polled. So only that thread may be blocked.
    pub(in crate::redis) fn may_block_while_dropping(&self, generation: Generation) -> bool {
        if std::thread::panicking() {
            return false;
        }
        match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
            Ok(RuntimeFlavor::CurrentThread) => {
                let task = self.task.lock();
                let polled = task.as_ref().filter(|task| task.generation == generation).map(|task| task.thread);
                polled.is_none_or(|thread| thread == std::thread::current().id())
            }
            // The tasks of a multi-thread runtime are dropped by its own workers. A task that it does not accept any more is
            // dropped by the thread that spawns it.
            Ok(_) | Err(_) => true,
        }
    }

    fn note_first_poll(&self, generation: Generation, waker: &Waker) {
        let new = Task { generation, waker: waker.clone(), thread: std::thread::current().id() };
        let mut task = self.task.lock();
        let before = if self.is_current(generation) { task.replace(new) } else { None };
        drop(task);
        drop(before);
    }

    fn answer_probes(&self) {
        let sent = self.sent.load(SeqCst);
        if self.answered.load(SeqCst) != sent {
            self.answered.store(sent, SeqCst);
        }
    }
}

impl RuntimeNumber {
    pub(in crate::redis) fn of(runtime: &Handle) -> Self {
        let mut number = Number(0);
        runtime.id().hash(&mut number);
        Self(number.0)
    }
}

/// Takes the number of a runtime out of its identifier, which can be hashed and compared, but not kept in an atomic.
struct Number(u64);

impl Hasher for Number {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The work of such a task, which ends at the first poll after its generation has ended.
#[pin_project]
pub(in crate::redis) struct WatchedTask<F> {
    slot: Arc<TaskSlot>,
    generation: Generation,
    was_polled: bool,
    #[pin]
    work: F,
}

impl<F> WatchedTask<F> {
    pub(in crate::redis) fn new(slot: &Arc<TaskSlot>, generation: Generation, work: F) -> Self {
        Self { slot: Arc::clone(slot), generation, was_polled: false, work }
    }
}

impl<F: Future<Output = ()>> Future for WatchedTask<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if !this.slot.is_current(*this.generation) {
            return Poll::Ready(());
        }
        if !std::mem::replace(this.was_polled, true) {
            // Once is enough: a task of tokio has one waker for as long as it lives.
            this.slot.note_first_poll(*this.generation, cx.waker());
        }
        this.slot.answer_probes();
        let poll = this.work.poll(cx);
        // If it was deposed during the poll it ends at once. Otherwise it could take a wake-up that is meant for its
        // successor.
        if this.slot.is_current(*this.generation) { poll } else { Poll::Ready(()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn one_task_at_a_time_and_each_of_a_generation_of_its_own() {
        let (one, two) =
            (Builder::new_current_thread().build().unwrap(), Builder::new_current_thread().build().unwrap());
        let slot = TaskSlot::default();
        assert!(slot.probe().is_none() && !slot.is_taken());
        let first = slot.claim(one.handle()).unwrap();
        assert!(slot.is_taken() && slot.claim(two.handle()).is_none());
        assert!(slot.is_elsewhere(RuntimeNumber::of(two.handle())));
        assert!(!slot.is_elsewhere(RuntimeNumber::of(one.handle())));
        assert!(slot.resign(first) && !slot.resign(first));
        let second = slot.claim(two.handle()).unwrap();
        assert!(first != second && slot.is_current(second) && !slot.is_current(first));
        assert!(!slot.resign(first), "a generation that has ended is not ended again");
    }

    #[test]
    fn a_probe_is_answered_by_a_poll_and_a_deposed_task_ends() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let slot = Arc::new(TaskSlot::default());
        let generation = slot.claim(runtime.handle()).unwrap();
        let task = runtime.spawn(WatchedTask::new(&slot, generation, std::future::pending()));
        let probe = slot.probe().unwrap();
        assert_eq!(slot.not_run_since(probe), Some(generation), "not polled yet");
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(slot.not_run_since(probe), None);
        let probe = slot.probe().unwrap();
        assert_eq!(slot.not_run_since(probe), Some(generation));
        runtime.block_on(tokio::task::yield_now());
        assert_eq!(slot.not_run_since(probe), None, "it was woken");

        assert!(slot.resign(generation));
        assert!(slot.probe().is_none());
        assert!(!task.is_finished());
        slot.task.lock().as_ref().unwrap().waker.wake_by_ref();
        runtime.block_on(task).unwrap();
    }
}
