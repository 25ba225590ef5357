//! [`Scene`]: one resource in one shard, and checks on its holders.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hashbrown::DefaultHashBuilder;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::SeqCst};
use loom::thread;

use crate::backend::in_process::Shard;
use crate::backend::{Acquiring, DEFAULT_MAX_WAITERS, LockBackend, WaiterLimit};
use crate::sync::modelled::{Depth, advance, explore, explore_in_time};
use crate::types::Wait;
use crate::{LockError, LockGuard, LockOptions, LockRequest, Resource};

/// The length of a lease that ends.
pub(super) const LEASE: Duration = Duration::from_millis(10);

/// A lease that ends after [`LEASE`] unless it is extended.
pub(super) fn ending() -> LockOptions {
    LockOptions::default().ttl(LEASE).auto_renew(false)
}

/// What a reader adds to the number of those inside. A writer adds one.
const READER: u64 = 1 << 32;

/// Wakes a modelled thread.
struct Alarm(Notify);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

pub(super) fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let alarm = Arc::new(Alarm(Notify::new()));
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        alarm.0.wait();
    }
}

pub(super) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// An acquire whose lease is put into a guard.
pub(super) struct Acquire(Acquiring);

impl Future for Acquire {
    type Output = Result<Option<LockGuard>, LockError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(|lease| lease.map(LockGuard::from))
    }
}

pub(super) struct Scene {
    pub(super) shard: Arc<Shard>,
    inside: AtomicU64,
    highest: AtomicU64,
    /// A bit for each permit that is in use.
    permits: AtomicU64,
    /// Notified when the first holder has released the lock. Callers that only use the clock wait for it, since the
    /// clock does not advance meanwhile.
    let_go: Notify,
}

impl Scene {
    fn new() -> Arc<Self> {
        let shard = Arc::new(Shard::new(DefaultHashBuilder::default(), 0, WaiterLimit::new(DEFAULT_MAX_WAITERS)));
        let [inside, highest, permits] = [(); 3].map(|()| AtomicU64::new(0));
        Arc::new(Self { shard, inside, highest, permits, let_go: Notify::new() })
    }

    pub(super) fn acquire_with(&self, options: LockOptions, wait: Wait) -> Acquire {
        let request = LockRequest::new(Resource::try_from("name").unwrap()).options(options).wait(wait);
        Acquire(Arc::clone(&self.shard).acquire(request))
    }

    pub(super) fn acquire(&self, wait: Wait) -> Acquire {
        self.acquire_with(LockOptions::default(), wait)
    }

    /// The lock, which is free.
    pub(super) fn acquired(&self, options: LockOptions) -> LockGuard {
        match poll_once(&mut self.acquire_with(options, Wait::No)) {
            Poll::Ready(Ok(Some(guard))) => guard,
            other => panic!("the lock is free: {other:?}"),
        }
    }

    /// Holds the lock for a moment: no other caller does (M3), and its fencing token is above every earlier one (M5).
    /// For leases that do not end by themselves.
    pub(super) fn hold(&self, guard: LockGuard) {
        assert!(guard.is_held());
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "two hold the lock");
        let fence = guard.fencing_token().get();
        assert!(self.highest.swap(fence, SeqCst) < fence, "a fence did not rise");
        self.inside.fetch_sub(1, SeqCst);
        drop(guard);
    }

    /// Holds the lock for a moment as a reader: no writer does (M3), and its fencing token is at least as high as every
    /// earlier one (M5). For leases that do not end by themselves.
    pub(super) fn read(&self, guard: LockGuard) {
        assert!(guard.is_held());
        assert_eq!(self.inside.fetch_add(READER, SeqCst) % READER, 0, "a reader holds the lock beside a writer");
        let fence = guard.fencing_token().get();
        assert!(self.highest.fetch_max(fence, SeqCst) <= fence, "a fence fell");
        self.inside.fetch_sub(READER, SeqCst);
        drop(guard);
    }

    /// Holds a permit for a moment: no other caller has its number.
    pub(super) fn use_permit(&self, guard: LockGuard) {
        assert!(guard.is_held());
        let bit = 1 << guard.permit().unwrap();
        assert_eq!(self.permits.fetch_add(bit, SeqCst) & bit, 0, "two have one number");
        self.permits.fetch_sub(bit, SeqCst);
        drop(guard);
    }

    /// Records that the lock was granted. A thread that reads the record knows that every earlier hold has ended.
    pub(super) fn granted(&self, guard: &LockGuard) {
        self.highest.fetch_max(guard.fencing_token().get(), AcqRel);
    }

    /// Whether the lock is held. It must not be once a later lease was granted (M3, M5).
    pub(super) fn holds(&self, guard: &LockGuard) -> bool {
        let highest = self.highest.fetch_add(0, AcqRel);
        let held = guard.is_held();
        assert!(!held || highest <= guard.fencing_token().get(), "two hold the lock");
        held
    }

    /// Holds the lock for a moment, if its lease has not ended.
    pub(super) fn hold_while_it_lasts(&self, guard: LockGuard) {
        self.granted(&guard);
        self.holds(&guard);
        drop(guard);
    }

    pub(super) fn acquire_and_hold(&self) {
        match block_on(self.acquire(Wait::Forever)) {
            Ok(Some(guard)) => self.hold(guard),
            other => panic!("a caller that waits for ever is granted the lock: {other:?}"),
        }
    }

    /// As [`acquire_and_hold`](Self::acquire_and_hold), where leases end.
    pub(super) fn acquire_and_hold_while_it_lasts(&self) {
        match block_on(self.acquire_with(ending(), Wait::Forever)) {
            Ok(Some(guard)) => self.hold_while_it_lasts(guard),
            other => panic!("a caller that waits for ever is granted the lock: {other:?}"),
        }
    }

    /// Acquires, polls this many times, and drops the future. Holds the lock for a moment if it was granted.
    pub(super) fn acquire_and_cancel(&self, polls: usize) {
        self.cancel(self.acquire(Wait::Forever), polls, Self::hold);
    }

    pub(super) fn acquire_and_cancel_while_it_lasts(&self, polls: usize) {
        self.cancel(self.acquire_with(ending(), Wait::Forever), polls, Self::hold_while_it_lasts);
    }

    fn cancel(&self, mut acquire: Acquire, polls: usize, hold: fn(&Self, LockGuard)) {
        for _ in 0..polls {
            if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut acquire) {
                return hold(self, guard);
            }
        }
    }

    /// The first holder releases the lock. [`acquire_by_the_clock`](Self::acquire_by_the_clock) waits for that.
    pub(super) fn let_go(&self, guard: LockGuard) {
        drop(guard);
        self.let_go.notify();
    }

    /// Acquires as a caller that is woken by its timers only: polls, and polls again each time a lease's length has
    /// passed since the first holder released the lock.
    pub(super) fn acquire_by_the_clock(&self, lengths: usize) -> LockGuard {
        let mut acquire = self.acquire_with(ending(), Wait::Forever);
        if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut acquire) {
            return guard;
        }
        self.let_go.wait();
        for _ in 0..lengths {
            match poll_once(&mut acquire) {
                Poll::Ready(Ok(Some(guard))) => return guard,
                Poll::Ready(other) => panic!("a caller that waits for ever is granted the lock: {other:?}"),
                Poll::Pending => advance(LEASE),
            }
        }
        panic!("not granted after {lengths} leases' lengths");
    }

    /// Checks the end of every model: there is no entry (M1), and the lock is free unless the shard is closed (M7).
    pub(super) fn all_gone(&self) {
        assert_eq!(self.shard.len(), 0, "an entry is left");
        if self.shard.is_closed() {
            return;
        }
        self.hold(self.acquired(LockOptions::default()));
        assert_eq!(self.shard.len(), 0, "an entry is left");
    }
}

type Run = fn(&Scene);

/// Runs the threads, the last of them on the present one, in every interleaving. Time stands still.
pub(super) fn run(threads: &'static [Run]) {
    run_to(Depth::Complete, threads);
}

/// As [`run`], as far as `depth` says.
pub(super) fn run_to(depth: Depth, threads: &'static [Run]) {
    explore(depth, move || {
        let scene = Scene::new();
        let (own, others) = threads.split_last().unwrap();
        beside(&scene, others, || own(&scene));
        scene.all_gone();
    });
}

/// Runs `first`, then the threads beside `own`, and `last` when all of them have ended. Then the lock has to be free.
/// Time stands still.
pub(super) fn run_with<T: 'static, U: 'static>(
    first: fn(&Scene) -> T,
    own: fn(&Scene, T) -> U,
    threads: &'static [Run],
    last: fn(&Scene, U),
) {
    run_with_to(Depth::Complete, first, own, threads, last);
}

/// As [`run_with`], as far as `depth` says.
pub(super) fn run_with_to<T: 'static, U: 'static>(
    depth: Depth,
    first: fn(&Scene) -> T,
    own: fn(&Scene, T) -> U,
    threads: &'static [Run],
    last: fn(&Scene, U),
) {
    explore(depth, move || {
        let scene = Scene::new();
        let made = first(&scene);
        let made = beside(&scene, threads, || own(&scene, made));
        last(&scene, made);
        scene.all_gone();
    });
}

/// As [`run_with`], and time passes.
pub(super) fn run_in_time<T: 'static, U: 'static>(
    depth: Depth,
    first: fn(&Scene) -> T,
    own: fn(&Scene, T) -> U,
    threads: &'static [Run],
    last: fn(&Scene, U),
) {
    explore_in_time(depth, move || {
        let scene = Scene::new();
        let made = first(&scene);
        let made = beside(&scene, threads, || own(&scene, made));
        last(&scene, made);
        scene.all_gone();
    });
}

fn beside<T>(scene: &Arc<Scene>, threads: &[Run], own: impl FnOnce() -> T) -> T {
    let others: Vec<_> = threads
        .iter()
        .map(|run| {
            let (run, scene) = (*run, Arc::clone(scene));
            thread::spawn(move || run(&scene))
        })
        .collect();
    let made = own();
    for other in others {
        other.join().unwrap();
    }
    made
}

/// The guard, or `None` if the provider was closed.
pub(super) fn unless_closed(answer: Result<Option<LockGuard>, LockError>) -> Option<LockGuard> {
    match answer {
        Ok(Some(guard)) => Some(guard),
        Err(LockError::Closed) => None,
        other => panic!("granted or closed: {other:?}"),
    }
}
