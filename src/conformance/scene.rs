//! [`Scene`]: a provider under test, and the steps that cases share.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::Subject;
use crate::{DistributedLock, DistributedLockProvider, LockError, LockGuard, LockOptions, Resource};

/// A lease that ends within a test. Long enough for a backend on another machine.
pub(super) const SHORT: Duration = Duration::from_millis(500);

/// A lease that does not end within a test, so that its end cannot hide a mistake.
pub(super) const LONG: Duration = Duration::from_secs(300);

/// How long a test waits for an event. Only a broken promise takes that long.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(10);

/// A lease of this length without renewal.
pub(super) fn lease(ttl: Duration) -> LockOptions {
    LockOptions::default().ttl(ttl).auto_renew(false)
}

/// A provider, and the access to its backend.
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

    /// The lock, or `None` if the provider says that it has no locks with these options. Then the case proves nothing.
    pub(super) fn lock_if_supported(&self, name: &str, options: LockOptions) -> Option<DistributedLock> {
        let resource = kept(Resource::try_from(name), "a plain name is a resource");
        match self.provider.create_lock(resource, options) {
            Err(LockError::Unsupported { .. }) => None,
            lock => Some(kept(lock, "options within their ranges are taken, or are `Unsupported`")),
        }
    }

    /// The lock of the same name in another provider, if the subject supports that.
    pub(super) async fn lock_of_another(&self, name: &str) -> Option<DistributedLock> {
        self.lock_of_another_with(name, lease(LONG)).await
    }

    pub(super) async fn lock_of_another_with(&self, name: &str, options: LockOptions) -> Option<DistributedLock> {
        let another = self.subject.another().await?;
        let resource = kept(Resource::try_from(name), "a plain name is a resource");
        Some(kept(another.create_lock(resource, options), "options within their ranges are taken"))
    }

    /// A provider on the restarted backend, if the subject supports that.
    pub(super) async fn restarted(&self) -> Option<Arc<dyn DistributedLockProvider>> {
        self.subject.restart().await
    }

    /// How many commands were sent so far, if the subject counts them.
    pub(super) async fn commands(&self) -> Option<u64> {
        self.subject.commands().await
    }

    pub(super) async fn waiters(&self, lock: &DistributedLock) -> usize {
        self.subject.waiters(lock.resource()).await
    }

    /// Waits until `count` callers wait for the lock.
    pub(super) async fn queued(&self, lock: &DistributedLock, count: usize) {
        let began = Instant::now();
        loop {
            let seen = self.waiters(lock).await;
            if seen == count {
                return;
            }
            assert!(
                began.elapsed() < TIME_LIMIT,
                "all waiters are in the queue, and no other callers: {seen} are in it and not {count}"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the backend keeps no entries.
    pub(super) async fn nothing_left(&self) {
        let began = Instant::now();
        loop {
            let left = self.subject.leftovers().await;
            if left == 0 {
                return;
            }
            assert!(
                began.elapsed() < TIME_LIMIT,
                "nothing is kept for a lock that no caller holds or waits for: {left} entries are left"
            );
            tokio::task::yield_now().await;
        }
    }

    /// Closes the provider while these guards hold the lock and a caller waits for it: all locks and waits end.
    pub(super) async fn close_ends_all(&self, lock: &DistributedLock, guards: [LockGuard; 2]) {
        let waiting = tokio::spawn({
            let lock = lock.clone();
            async move { lock.acquire().await.map(drop) }
        });
        self.queued(lock, 1).await;
        soon(self.provider.close(), "closing ends").await;
        let ended = soon(waiting, "a close ends the waits").await;
        assert!(matches!(ended, Ok(Err(LockError::Closed))), "a close ends the waits with `Closed`: {ended:?}");
        for guard in guards {
            soon(guard.lost(), "a close ends the locks of all holders").await;
            assert!(!guard.is_held(), "a close ends the locks of all holders");
        }
    }

    /// Starts a task that waits for the lock, and returns once it is in the queue as number `place`.
    pub(super) async fn spawn_waiter(&self, lock: &DistributedLock, place: usize) -> JoinHandle<LockGuard> {
        let waiting = lock.clone();
        let task = tokio::spawn(async move { acquired(&waiting).await });
        self.queued(lock, place).await;
        task
    }

    /// Waits in this task until `acquire` is in the queue as number `place`. It must not end before that.
    pub(super) async fn poll_until_queued<F: Future>(
        &self,
        acquire: &mut Pin<Box<F>>,
        lock: &DistributedLock,
        place: usize,
    ) {
        let began = Instant::now();
        while self.waiters(lock).await != place {
            let ended = poll_fn(|cx| Poll::Ready(acquire.as_mut().poll(cx).is_ready())).await;
            assert!(!ended, "an acquire waits while another caller holds the lock: it has ended");
            assert!(began.elapsed() < TIME_LIMIT, "all waiters are in the queue: number {place} is not");
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

/// The output, if the future ends within [`TIME_LIMIT`], or a panic with the promise that was broken.
pub(super) async fn soon<F: Future>(future: F, promise: &str) -> F::Output {
    match timeout(TIME_LIMIT, future).await {
        Ok(output) => output,
        Err(elapsed) => panic!("{promise}: {elapsed} after {TIME_LIMIT:?}"),
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
