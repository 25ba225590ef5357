//! Waiters whose future lives and is never polled again, and other things that only look impossible.

use std::future::Future;
use std::sync::mpsc;
use std::task::{Context, Waker};
use std::time::Duration;

use orchestrix_locking::provider::{LeaseState, Term};
use orchestrix_locking::{DistributedLock, DistributedLockProvider, FencingToken, InMemoryLockProvider, LockOptions};
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn lock(options: LockOptions) -> DistributedLock {
    InMemoryLockProvider::new().create_lock("name".try_into().unwrap(), options).unwrap()
}

fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// The lock is granted to a waiter that never comes for it. There is no guard, so nothing renews the lease.
#[tokio::test(start_paused = true)]
async fn a_grant_that_is_not_taken_ends_with_its_ttl() {
    let lock = lock(LockOptions::default().ttl(SECOND));
    let held = lock.acquire().await.unwrap();
    let mut never_polled = Box::pin(lock.acquire());
    assert!(is_pending(&mut never_polled));
    drop(held);
    let served = timeout(3 * SECOND, lock.acquire()).await.expect("a newcomer is served after the TTL").unwrap();
    assert!(served.is_held());
}

/// The same, for one who queued up before.
#[tokio::test(start_paused = true)]
async fn a_waiter_behind_a_grant_that_is_not_taken_is_served() {
    let lock = lock(LockOptions::default().ttl(SECOND));
    let held = lock.acquire().await.unwrap();
    let mut never_polled = Box::pin(lock.acquire());
    assert!(is_pending(&mut never_polled));
    let behind = tokio::spawn({
        let lock = lock.clone();
        async move { lock.acquire().await.unwrap().is_held() }
    });
    tokio::task::yield_now().await;
    drop(held);
    assert!(timeout(3 * SECOND, behind).await.expect("served after the TTL").unwrap());
}

/// The holder's lease ends, and the first waiter, who would notice, is never polled.
#[tokio::test(start_paused = true)]
async fn a_first_waiter_that_is_never_polled_does_not_stall_the_second() {
    let lock = lock(LockOptions::default().ttl(SECOND).auto_renew(false));
    std::mem::forget(lock.acquire().await.unwrap());
    let mut never_polled = Box::pin(lock.acquire());
    assert!(is_pending(&mut never_polled));
    timeout(5 * SECOND, lock.acquire()).await.expect("served after two TTLs").unwrap().release().await.unwrap();
}

/// A waiter whose grant ended before it came is served again, and renewed from then on.
#[tokio::test(start_paused = true)]
async fn a_late_waiter_tries_again_and_is_renewed() {
    let lock = lock(LockOptions::default().ttl(SECOND).max_waiters(Some(1)));
    let held = lock.acquire().await.unwrap();
    let mut late = Box::pin(lock.acquire());
    assert!(is_pending(&mut late));
    drop(held);
    advance(5 * SECOND).await;
    let guard = late.await.unwrap();
    advance(60 * SECOND).await;
    assert!(guard.is_held());
}

/// A loop of attempts that never have to wait leaves its thread to the holder of the lock.
#[test]
fn a_loop_of_attempts_lets_the_holder_run() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let lock = lock(LockOptions::default());
            let held = lock.acquire().await.unwrap();
            let trying =
                tokio::spawn(async move { while lock.try_acquire(Duration::ZERO).await.unwrap().is_none() {} });
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            drop(held);
            trying.await.unwrap();
        });
        done.send(()).unwrap();
    });
    is_done.recv_timeout(30 * SECOND).expect("the holder was never run again");
}

#[tokio::test]
async fn a_wait_until_the_end_of_time_is_no_panic() {
    let now = Instant::now();
    let (mut fits, mut overflows) = (Duration::ZERO, Duration::MAX);
    while overflows - fits > Duration::from_nanos(1) {
        let middle = fits + (overflows - fits) / 2;
        if now.checked_add(middle).is_some() { fits = middle } else { overflows = middle }
    }
    for span in [fits - Duration::from_micros(500), fits, overflows, Duration::MAX] {
        let lock = lock(LockOptions::default().max_hold(Some(span)));
        let held = lock.acquire().await.unwrap();
        let mut lost = held.lost();
        assert!(is_pending(&mut lost));
        assert!(is_pending(&mut Box::pin(lock.try_acquire(span))));
        let _ = (held.expires_at(), held.remaining());
    }
    assert!(Term::new(now, Duration::MAX).ends().is_some_and(|ends| ends > now));
}

/// The answer to a renewal that came after the renewed lease's own end.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_has_ended_by_its_answer_is_a_loss() {
    let sent = Instant::now();
    let token = FencingToken::new(1).unwrap();
    let state = LeaseState::held("name".try_into().unwrap(), token, Term::new(sent, 60 * SECOND));
    advance(5 * SECOND).await;
    assert!(!state.renew(Instant::now(), sent, SECOND));
    assert!(!state.is_held());
}
