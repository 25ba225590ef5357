//! [`Scene`]: one name in one shard, and what its holders see.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hashbrown::DefaultHashBuilder;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::SeqCst};
use loom::thread;

use crate::backend::in_process::Shard;
use crate::backend::{Acquiring, LockBackend};
use crate::sync::modelled::{Depth, advance, explore, explore_in_time};
use crate::types::Wait;
use crate::{LockError, LockGuard, LockOptions, LockRequest, Resource};

/// The length of a lease that ends.
pub(super) const LEASE: Duration = Duration::from_millis(10);

/// A lease that ends after [`LEASE`] unless it is extended.
pub(super) fn ending() -> LockOptions {
    LockOptions::default().ttl(LEASE).auto_renew(false)
}

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
    /// Told when the first holder has let go, for those whose alarm is the clock: it does not run meanwhile.
    let_go: Notify,
}

impl Scene {
    fn new() -> Arc<Self> {
        let shard = Arc::new(Shard::new(DefaultHashBuilder::default(), 0));
        Arc::new(Self { shard, inside: AtomicU64::new(0), highest: AtomicU64::new(0), let_go: Notify::new() })
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

    /// Holds the lock for a moment: nobody else does (M3), and its fence is above every earlier one (M5). For leases
    /// that do not end by themselves.
    pub(super) fn hold(&self, guard: LockGuard) {
        assert!(guard.is_held());
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "two hold the lock");
        let fence = guard.fencing_token().get();
        assert!(self.highest.swap(fence, SeqCst) < fence, "a fence did not rise");
        self.inside.fetch_sub(1, SeqCst);
        drop(guard);
    }

    /// Leaves word that the lock was granted. Whoever sees it knows that an earlier holder is one no more.
    pub(super) fn granted(&self, guard: &LockGuard) {
        self.highest.fetch_max(guard.fencing_token().get(), AcqRel);
    }

    /// Whether the lease holds. It does not once a later one has been granted (M3, M5).
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
            other => panic!("whoever waits for ever is granted the lock: {other:?}"),
        }
    }

    /// As [`acquire_and_hold`](Self::acquire_and_hold), where leases end.
    pub(super) fn acquire_and_hold_while_it_lasts(&self) {
        match block_on(self.acquire_with(ending(), Wait::Forever)) {
            Ok(Some(guard)) => self.hold_while_it_lasts(guard),
            other => panic!("whoever waits for ever is granted the lock: {other:?}"),
        }
    }

    /// Acquires, polls this often, and goes away; holds the lock if it was granted.
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

    /// The first holder lets go, whom [`acquire_by_the_clock`](Self::acquire_by_the_clock) waits for.
    pub(super) fn let_go(&self, guard: LockGuard) {
        drop(guard);
        self.let_go.notify();
    }

    /// Waits as one does whose timers are its only alarm: looks, and looks again each time a lease's length has passed
    /// since the first holder let go.
    pub(super) fn acquire_by_the_clock(&self, lengths: usize) -> LockGuard {
        let mut acquire = self.acquire_with(ending(), Wait::Forever);
        if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut acquire) {
            return guard;
        }
        self.let_go.wait();
        for _ in 0..lengths {
            match poll_once(&mut acquire) {
                Poll::Ready(Ok(Some(guard))) => return guard,
                Poll::Ready(other) => panic!("whoever waits for ever is granted the lock: {other:?}"),
                Poll::Pending => advance(LEASE),
            }
        }
        panic!("not granted after {lengths} leases' lengths");
    }

    /// What is true when all have gone (M1): there is no entry, and the lock is free unless all is closed (M7).
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

/// Runs the threads, this one with them, through every interleaving; time stands still.
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

/// Has the threads run beside `own`, and begins with what `first` makes; `last` is what happens when the threads have
/// ended, before the lock is free. Time stands still.
pub(super) fn run_with<T: 'static, U: 'static>(
    first: fn(&Scene) -> T,
    own: fn(&Scene, T) -> U,
    threads: &'static [Run],
    last: fn(&Scene, U),
) {
    explore(Depth::Complete, move || {
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

/// The answer of somebody who may be told that the provider is closed.
pub(super) fn unless_closed(answer: Result<Option<LockGuard>, LockError>) -> Option<LockGuard> {
    match answer {
        Ok(Some(guard)) => Some(guard),
        Err(LockError::Closed) => None,
        other => panic!("granted or closed: {other:?}"),
    }
}
