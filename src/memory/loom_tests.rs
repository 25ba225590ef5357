//! Every interleaving of two and of three threads on one name.
//!
//! `RUSTFLAGS="--cfg orchestrix_loom" cargo test --lib --release loom`
//!
//! Time stands still here (leases are renewed by their guards), so that what is left is the table and its mutex.
//! Leases that end are modelled in `provider::loom_tests`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use hashbrown::DefaultHashBuilder;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicU64, Ordering::SeqCst};
use loom::thread;

use super::shard::Shard;
use crate::provider::{Acquiring, LockBackend, Wait};
use crate::{LockError, LockGuard, LockOptions, Resource};

/// Wakes a modelled thread.
struct Alarm(Notify);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn block_on<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let alarm = Arc::new(Alarm(Notify::new()));
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        alarm.0.wait();
    }
}

fn poll_once(acquire: &mut Acquiring) -> Poll<Result<Option<LockGuard>, LockError>> {
    Pin::new(acquire).poll(&mut Context::from_waker(Waker::noop()))
}

/// One name in one shard, and what its holders see.
struct Scene {
    shard: Arc<Shard>,
    inside: AtomicU64,
    highest: AtomicU64,
}

impl Scene {
    fn new() -> Arc<Self> {
        let shard = Arc::new(Shard::new(DefaultHashBuilder::default(), 0));
        Arc::new(Self { shard, inside: AtomicU64::new(0), highest: AtomicU64::new(0) })
    }

    fn acquire(&self, wait: Wait) -> Acquiring {
        Arc::clone(&self.shard).acquire(Resource::try_from("name").unwrap(), LockOptions::default(), wait)
    }

    /// Holds the lock for a moment: nobody else does (M3), and its fence is above every earlier one (M5).
    fn hold(&self, guard: LockGuard) {
        assert!(guard.is_held());
        assert_eq!(self.inside.fetch_add(1, SeqCst), 0, "two hold the lock");
        let fence = guard.fencing_token().get();
        assert!(self.highest.swap(fence, SeqCst) < fence, "a fence did not rise");
        self.inside.fetch_sub(1, SeqCst);
        drop(guard);
    }

    fn acquire_and_hold(&self) {
        let mut acquire = self.acquire(Wait::Forever);
        match block_on(Pin::new(&mut acquire)) {
            Ok(Some(guard)) => self.hold(guard),
            other => panic!("whoever waits for ever is granted the lock: {other:?}"),
        }
    }

    /// Acquires, polls this often, and goes away; holds the lock if it was granted.
    fn acquire_and_cancel(&self, polls: usize) {
        let mut acquire = self.acquire(Wait::Forever);
        for _ in 0..polls {
            if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut acquire) {
                return self.hold(guard);
            }
        }
    }

    /// What is true when all have gone (M1): there is no entry, and the lock is free.
    fn all_gone(&self) {
        assert_eq!(self.shard.len(), 0, "an entry is left");
        match poll_once(&mut self.acquire(Wait::No)) {
            Poll::Ready(Ok(Some(guard))) => self.hold(guard),
            other => panic!("the lock is free: {other:?}"),
        }
        assert_eq!(self.shard.len(), 0, "an entry is left");
    }
}

/// Runs the threads, this one with them, through every interleaving.
fn explore(threads: &'static [fn(&Scene)]) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&executions);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = None;
    model.check(move || {
        counted.fetch_add(1, Relaxed);
        let scene = Scene::new();
        let (own, others) = threads.split_last().unwrap();
        let others: Vec<_> = others
            .iter()
            .map(|run| {
                let scene = Arc::clone(&scene);
                thread::spawn(move || run(&scene))
            })
            .collect();
        own(&scene);
        for other in others {
            other.join().unwrap();
        }
        scene.all_gone();
    });
    println!("{} executions", executions.load(Relaxed));
}

const HOLD: fn(&Scene) = Scene::acquire_and_hold;
const TRY: fn(&Scene) = |scene| {
    if let Poll::Ready(Ok(Some(guard))) = poll_once(&mut scene.acquire(Wait::No)) {
        scene.hold(guard);
    }
};
const CANCEL_UNPOLLED: fn(&Scene) = |scene| scene.acquire_and_cancel(0);
const CANCEL: fn(&Scene) = |scene| scene.acquire_and_cancel(1);
const CANCEL_LATER: fn(&Scene) = |scene| scene.acquire_and_cancel(2);
const CLOSE: fn(&Scene) = |scene| {
    scene.shard.close();
    assert_eq!(scene.shard.len(), 0, "an entry came after closing");
};

#[test]
fn loom_two_hold() {
    explore(&[HOLD, HOLD]);
}

#[test]
fn loom_hold_and_try() {
    explore(&[HOLD, TRY]);
}

#[test]
fn loom_hold_and_cancel_unpolled() {
    explore(&[HOLD, CANCEL_UNPOLLED]);
}

#[test]
fn loom_hold_and_cancel() {
    explore(&[HOLD, CANCEL]);
}

#[test]
fn loom_hold_and_cancel_later() {
    explore(&[HOLD, CANCEL_LATER]);
}

#[test]
fn loom_two_cancel() {
    explore(&[CANCEL, CANCEL_LATER]);
}

#[test]
fn loom_three_hold() {
    explore(&[HOLD, HOLD, HOLD]);
}

#[test]
fn loom_two_hold_and_one_cancels() {
    explore(&[HOLD, CANCEL, HOLD]);
}

#[test]
fn loom_one_holds_and_two_cancel() {
    explore(&[CANCEL, CANCEL_LATER, HOLD]);
}

/// Whoever waits is told; whoever holds loses. After closing there are no entries (M7).
#[test]
fn loom_hold_and_close() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = None;
    model.check(|| {
        let scene = Scene::new();
        let other = {
            let scene = Arc::clone(&scene);
            thread::spawn(move || CLOSE(&scene))
        };
        let holder = poll_once(&mut scene.acquire(Wait::No));
        let mut waiting = scene.acquire(Wait::Forever);
        if matches!(holder, Poll::Ready(Ok(Some(_)))) {
            // Either closed while it waits, or closed before it came.
            assert!(matches!(block_on(Pin::new(&mut waiting)), Err(LockError::Closed)));
        }
        other.join().unwrap();
        if let Poll::Ready(Ok(Some(guard))) = holder {
            assert!(!guard.is_held(), "closing lets held locks go");
        }
        assert_eq!(scene.shard.len(), 0, "an entry came after closing");
    });
}
