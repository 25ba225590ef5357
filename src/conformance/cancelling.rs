//! A dropped acquire leaves nothing behind: no lock, no place in the queue, no entry.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use super::Subject;
use super::scene::{SHORT, Scene, acquired, at_once, granted, kept, lease};
use crate::DistributedLock;

/// The future is dropped before it was ever polled.
pub async fn cancelled_before_the_wait(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("cancelled");
    drop(lock.acquire());
    drop(lock.try_acquire(Duration::from_secs(1)));
    scene.nothing_left().await;
    let guard = acquired(&lock).await;
    drop(lock.acquire());
    scene.queued(&lock, 0).await;
    drop(guard);
    scene.nothing_left().await;
}

/// The future is dropped while it waits.
pub async fn cancelled_during_the_wait(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("cancelled");
    let guard = acquired(&lock).await;
    for _ in 0..3 {
        let task = scene.spawn_waiter(&lock, 1).await;
        task.abort();
        scene.queued(&lock, 0).await;
    }
    assert!(guard.is_held(), "a cancelled waiter changes nothing for the holder");
    kept(guard.release().await, "a held lock can be released");
    scene.nothing_left().await;
    assert!(at_once(&lock).await.is_some(), "a cancelled waiter is never granted the lock: it is not free");
}

/// The future is dropped when the lock has been released to it, before it was polled again.
pub async fn cancelled_when_just_granted(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("cancelled");
    let guard = acquired(&lock).await;
    let mut waiting = Box::pin(lock.acquire());
    scene.poll_until_queued(&mut waiting, &lock, 1).await;
    kept(guard.release().await, "a held lock can be released");
    // A provider may grant the lock now or at the next poll. Both are allowed.
    drop(waiting);
    drop(acquired(&lock).await);
    scene.nothing_left().await;
}

/// The future is polled once, twice, and so on, and then dropped: with the lock free, with it held, and with a release
/// between the polls.
pub async fn cancelled_at_every_await_point(subject: impl Subject) {
    const POLLS: usize = 8;
    let scene = Scene::of(subject).await;
    let lock = scene.lock("cancelled");
    for polls in 0..POLLS {
        drop(polled(&lock, polls).await);
        scene.nothing_left().await;
        assert!(at_once(&lock).await.is_some(), "an acquire that was dropped after {polls} polls holds nothing");
        scene.nothing_left().await;
    }
    for polls in 0..POLLS {
        let guard = acquired(&lock).await;
        drop(polled(&lock, polls).await);
        scene.queued(&lock, 0).await;
        assert!(guard.is_held(), "an acquire that was dropped after {polls} polls changes nothing for the holder");
        kept(guard.release().await, "a held lock can be released");
        scene.nothing_left().await;
    }
    for before in 1..POLLS {
        for after in 0..POLLS {
            let guard = acquired(&lock).await;
            let waiting = polled(&lock, before).await;
            kept(guard.release().await, "a held lock can be released");
            if let Some(waiting) = waiting {
                drop(polled_on(waiting, after).await);
            }
            drop(acquired(&lock).await);
            scene.nothing_left().await;
        }
    }
}

/// An acquire is granted the lock, is not polled until its lease has ended, and is dropped then: the present waiters keep
/// their places.
pub async fn cancelled_after_its_lease_ended(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("cancelled");
    let holder = acquired(&lock).await;
    let hasty = scene.lock_with("cancelled", lease(SHORT));
    let mut late = Box::pin(hasty.acquire());
    scene.poll_until_queued(&mut late, &lock, 1).await;
    kept(holder.release().await, "a held lock can be released");
    // Granted when the lease of the acquire that was not polled has ended.
    let next = acquired(&lock).await;
    let behind = scene.spawn_waiter(&lock, 1).await;
    drop(late);
    scene.queued(&lock, 1).await;
    kept(next.release().await, "a held lock can be released");
    drop(granted(behind, "a waiter keeps its place when an earlier acquire is dropped late").await);
    scene.nothing_left().await;
}

/// A release whose future is dropped, polled or not, frees the lock all the same.
pub async fn cancelled_release_goes_on(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let lock = scene.lock("cancelled");
    for polls in 0..3 {
        let mut release = Box::pin(acquired(&lock).await.release());
        for _ in 0..polls {
            if poll_fn(|cx| Poll::Ready(release.as_mut().poll(cx).is_ready())).await {
                break;
            }
        }
        drop(release);
        drop(acquired(&lock).await);
        scene.nothing_left().await;
    }
}

type PendingAcquire = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An acquire that was polled `polls` times, or fewer if nothing woke it; `None` if it has ended.
async fn polled(lock: &DistributedLock, polls: usize) -> Option<PendingAcquire> {
    let lock = lock.clone();
    let acquire: PendingAcquire = Box::pin(async move {
        drop(lock.acquire().await);
    });
    polled_on(acquire, polls).await
}

async fn polled_on(mut acquire: PendingAcquire, mut polls: usize) -> Option<PendingAcquire> {
    let poll = |cx: &mut Context<'_>| {
        if polls == 0 {
            return Poll::Ready(false);
        }
        polls -= 1;
        match acquire.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if polls == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    };
    // A waiter is not woken while the lock is held, so the polls have a time limit.
    let ended = timeout(Duration::from_millis(20), poll_fn(poll)).await.unwrap_or(false);
    (!ended).then_some(acquire)
}
