//! What besides acquires can be given up: a check, a close, and requests under a layer; at every await point.

use std::sync::Arc;
use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockError, RedisLockProvider};

use crate::fixtures::{acquired, key_of, lock, polled, provider_at, soon, until};
use crate::support::{Proxy, RedisServer};

#[path = "../support/layers.rs"]
mod layers;

const TRIP: Duration = Duration::from_millis(8);

/// Does this with a call that is dropped before it is polled, after one poll, after two, until it says that the call has
/// ended by itself.
async fn dropped_at_every_poll(mut call: impl AsyncFnMut(usize) -> bool) {
    let mut polls = 0;
    while !call(polls).await {
        polls += 1;
    }
    println!("dropped after 0 to {polls} polls");
    assert!(polls >= 1);
}

/// A check that is dropped changes nothing: locks go on, and the next check is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_check_changes_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    for delay in [Duration::ZERO, TRIP] {
        proxy.delay(delay);
        dropped_at_every_poll(async |polls| {
            // One that has not asked before: the first check has the most to ask.
            let provider = provider_at(&proxy.url());
            let checked = provider.clone();
            let check = Box::pin(async move { checked.check().await });
            let (left, _) = polled(check, polls, Duration::from_secs(5)).await;
            let ended = left.is_none();
            drop(left);
            soon("the next check is answered", provider.check()).await.unwrap();
            let guard = acquired(&lock(&provider, "name")).await;
            assert!(guard.is_held());
            guard.release().await.unwrap();
            until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
            soon("the provider closes", provider.close()).await;
            ended
        })
        .await;
    }
}

/// A close that is dropped, with a lock held and one waited for: a second one finishes what it began, and nothing stays
/// on the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_close_is_finished_by_the_next() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    for delay in [Duration::ZERO, TRIP] {
        proxy.delay(delay);
        dropped_at_every_poll(async |polls| {
            let provider: RedisLockProvider = provider_at(&proxy.url());
            let guard = acquired(&lock(&provider, "name")).await;
            let waiting = tokio::spawn({
                let lock = lock(&provider, "name");
                async move { lock.acquire().await }
            });
            until("it waits", || {
                server.queue_of(&key_of("name")).len() == 1 || provider.waiters(guard.resource()) == 1
            })
            .await;
            let closed = provider.clone();
            let (left, _) = polled(Box::pin(async move { closed.close().await }), polls, Duration::from_secs(5)).await;
            let ended = left.is_none();
            drop(left);
            soon("the next close ends", provider.close()).await;
            assert!(!guard.is_held(), "closing lets held locks go");
            let answer = soon("a waiter is told", waiting).await.unwrap();
            assert!(matches!(answer, Err(LockError::Closed)), "{answer:?}");
            assert!(matches!(lock(&provider, "name").acquire().await, Err(LockError::Closed)));
            until("nothing is left", || provider.is_empty() && server.leftovers().is_empty()).await;
            ended
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_dropped_at_every_await_point_leave_nothing_on_redis() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let nothing_left = || provider.is_empty() && server.leftovers().is_empty();
    layers::requests_dropped_at_every_await_point_leave_nothing(Arc::new(provider.clone()), nothing_left).await;
}
