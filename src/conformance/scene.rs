//! [`Scene`]: a provider under test, and the steps that most cases share.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::Subject;
use crate::{DistributedLock, DistributedLockProvider, LockError, LockGuard, LockOptions, Resource};

/// A lease that ends while the test looks on: long enough for a backend on another machine.
pub(super) const SHORT: Duration = Duration::from_millis(500);

/// A lease that does not end within a test, so that nothing is put right by its end.
pub(super) const LONG: Duration = Duration::from_secs(300);

/// For how long a test waits for what has to happen. Only broken promises take that long.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A lease of this length without renewal.
pub(super) fn lease(ttl: Duration) -> LockOptions {
    LockOptions::default().ttl(ttl).auto_renew(false)
}

/// A provider, and the look into its backend.
pub(super) struct Scene<S> {
    subject: S,
    pub(super) provider: Arc<dyn DistributedLockProvider>,
}

impl<S: Subject> Scene<S> {
    pub(super) async fn of(subject: S) -> Self {
        let provider = subject.make().await;
        Self { subject, provider }
    }

    /// A lock whose lease is [`LONG`], without renewal.
    pub(super) fn lock(&self, name: &str) -> DistributedLock {
        self.lock_with(name, lease(LONG))
    }

    pub(super) fn lock_with(&self, name: &str, options: LockOptions) -> DistributedLock {
        let resource = kept(Resource::try_from(name), "a plain name is a resource");
        kept(self.provider.create_lock(resource, options), "options within their ranges are taken")
    }

    /// The same name's lock in another provider, where there can be one.
    pub(super) async fn lock_of_another(&self, name: &str) -> Option<DistributedLock> {
        let another = self.subject.another().await?;
        let resource = kept(Resource::try_from(name), "a plain name is a resource");
        Some(kept(another.create_lock(resource, lease(LONG)), "options within their ranges are taken"))
    }

    /// A provider on the backend after it was started again, where it can be.
    pub(super) async fn restarted(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        self.subject.restart().await
    }

    /// How many commands were sent until now, where they are counted.
    pub(super) async fn commands(&self) -> Option<u64> {
        self.subject.commands().await
    }

    pub(super) async fn waiters(&self, lock: &DistributedLock) -> usize {
        self.subject.waiters(lock.resource()).await
    }

    /// Waits until this many wait for the lock.
    pub(super) async fn queued(&self, lock: &DistributedLock, count: usize) {
        let asked = Instant::now();
        loop {
            let seen = self.waiters(lock).await;
            if seen == count {
                return;
            }
            assert!(
                asked.elapsed() < PATIENCE,
                "whoever waits is in the queue, and nobody else: {seen} are in it and not {count}"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the backend keeps nothing.
    pub(super) async fn nothing_left(&self) {
        let asked = Instant::now();
        loop {
            let left = self.subject.leftovers().await;
            if left == 0 {
                return;
            }
            assert!(
                asked.elapsed() < PATIENCE,
                "nothing is kept for a lock that nobody wants: {left} entries are left"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Starts a task that waits for the lock, and returns once it is in the queue as number `place`.
    pub(super) async fn wait_in_line(&self, lock: &DistributedLock, place: usize) -> JoinHandle<LockGuard> {
        let waiting = lock.clone();
        let task = tokio::spawn(async move { acquired(&waiting).await });
        self.queued(lock, place).await;
        task
    }

    /// Waits in this task until `acquire` is in the queue as number `place`. It must not end before that.
    pub(super) async fn line_up<F: Future>(&self, acquire: &mut Pin<Box<F>>, lock: &DistributedLock, place: usize) {
        let asked = Instant::now();
        while self.waiters(lock).await != place {
            let ended = poll_fn(|cx| Poll::Ready(acquire.as_mut().poll(cx).is_ready())).await;
            assert!(!ended, "an acquire waits while somebody else holds the lock: it has ended");
            assert!(asked.elapsed() < PATIENCE, "whoever waits is in the queue: number {place} is not");
            tokio::task::yield_now().await;
        }
    }
}

/// The value, or a panic with the promise that was broken.
pub(super) fn kept<T>(result: Result<T, LockError>, promise: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{promise}: the error was: {error}"),
    }
}

/// What comes within [`PATIENCE`], or a panic with the promise that was broken.
pub(super) async fn soon<F: Future>(future: F, promise: &str) -> F::Output {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(elapsed) => panic!("{promise}: {elapsed} after {PATIENCE:?}"),
    }
}

/// The task's guard, once it has been granted.
pub(super) async fn granted(task: JoinHandle<LockGuard>, promise: &str) -> LockGuard {
    match soon(task, promise).await {
        Ok(guard) => guard,
        Err(error) => panic!("{promise}: the waiting task failed: {error}"),
    }
}

/// Acquires a lock that is free or becomes so soon.
pub(super) async fn acquired(lock: &DistributedLock) -> LockGuard {
    let guard = soon(lock.acquire(), "a lock that is free, or becomes free, is granted").await;
    kept(guard, "a lock that is free, or becomes free, is granted")
}

/// Acquires the lock in one attempt.
pub(super) async fn at_once(lock: &DistributedLock) -> Option<LockGuard> {
    let answer = soon(lock.try_acquire(Duration::ZERO), "one attempt without waiting is answered at once").await;
    kept(answer, "one attempt without waiting has an answer and is no error")
}
