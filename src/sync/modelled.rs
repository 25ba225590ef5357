//! A mutex, a clock and timers whose interleavings loom explores, and a count of the explored executions.
//!
//! The clock stands still unless time passes in a model ([`explore_in_time`]). Then every read of it is one more point
//! at which threads can be preempted, and [`advance`] advances it and wakes the tasks whose timers are up. It is read
//! by an atomic operation that always returns the latest value and orders no other memory access, as a monotonic clock
//! does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

pub(crate) use loom::sync::MutexGuard;
#[cfg(feature = "memory")]
pub(crate) use loom::sync::atomic::AtomicBool;
pub(crate) use loom::sync::atomic::AtomicU64;
use tokio::time::Instant;

/// loom's mutex with the interface of `parking_lot`: without poisoning.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        match self.0.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }
}

/// The time of one execution.
struct Time {
    /// Milliseconds since its beginning.
    passed: AtomicU64,
    sleepers: Mutex<Vec<(Instant, Waker)>>,
}

loom::lazy_static! {
    static ref TIME: Time = Time { passed: AtomicU64::new(0), sleepers: Mutex::new(Vec::new()) };
}

thread_local! {
    // loom runs all threads of a model on the thread of its test.
    static PASSES: Cell<bool> = const { Cell::new(false) };
}

/// The time by the model's clock.
pub(crate) fn now() -> Instant {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    if !PASSES.get() {
        return *BEGINNING;
    }
    *BEGINNING + Duration::from_millis(TIME.passed.fetch_add(0, Relaxed))
}

/// Advances the clock, and wakes the tasks whose timers are up. In whole milliseconds.
pub(crate) fn advance(by: Duration) {
    assert!(PASSES.get(), "time passes in `explore_in_time` alone");
    TIME.passed.fetch_add(u64::try_from(by.as_millis()).unwrap(), Relaxed);
    let due: Vec<_> = {
        let mut sleepers = TIME.sleepers.lock();
        let now = now();
        sleepers.extract_if(.., |(deadline, _)| *deadline <= now).collect()
    };
    for (_, waker) in due {
        waker.wake();
    }
}

/// A timer of the model's clock.
#[derive(Debug)]
pub(crate) struct Sleep {
    deadline: Instant,
}

pub(crate) fn sleep_until(deadline: Instant) -> Sleep {
    Sleep { deadline }
}

impl Sleep {
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn reset(mut self: Pin<&mut Self>, deadline: Instant) {
        self.deadline = deadline;
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !PASSES.get() {
            return Poll::Pending;
        }
        // `advance` takes this mutex after it has changed the time. So if it changes the time after this check, it
        // finds the sleeper.
        let mut sleepers = TIME.sleepers.lock();
        if now() >= self.deadline {
            return Poll::Ready(());
        }
        sleepers.push((self.deadline, cx.waker().clone()));
        Poll::Pending
    }
}

/// Which interleavings loom explores.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Depth {
    /// Every interleaving.
    Complete,
    /// Every interleaving with at most this many preemptions in all.
    Bounded(usize),
}

/// Explores a model in which time stands still, and counts the executions.
pub(crate) fn explore(depth: Depth, model: impl Fn() + Send + Sync + 'static) {
    PASSES.set(false);
    run(depth, model);
}

/// Explores a model in which time passes by [`advance`], and counts the executions.
pub(crate) fn explore_in_time(depth: Depth, model: impl Fn() + Send + Sync + 'static) {
    PASSES.set(true);
    run(depth, model);
    PASSES.set(false);
}

fn run(depth: Depth, model: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = match depth {
        Depth::Complete => None,
        Depth::Bounded(bound) => Some(bound + deeper()),
    };
    builder.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let executions = executions.load(Relaxed);
    let thread = std::thread::current();
    // On a line of its own: `tests/run.sh` adds these up.
    println!("\nloom model {}: {executions} executions, {depth:?}", thread.name().unwrap_or("?"));
}

/// By how much the bounds are raised: `ORCHESTRIX_LOOM_DEEPER`, or zero.
fn deeper() -> usize {
    std::env::var("ORCHESTRIX_LOOM_DEEPER").map_or(0, |given| given.parse().unwrap())
}
