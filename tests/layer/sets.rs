//! Several locks for one request of a Tower service.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::FutureExt;
use orchestrix_locking::{LockError, LockLayer, LockMode, LockOptions, LockRequest, OnLost};
use tokio::sync::Notify;
use tower::{Layer, ServiceExt, service_fn};

use crate::{Alive, ZERO, is_free, provider, refusal};

/// From and to.
type Transfer = [&'static str; 2];

#[tokio::test(start_paused = true)]
async fn transfers_in_both_directions_exclude_each_other_and_do_not_deadlock() {
    let provider = provider();
    let (running, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running_in, done_in) = (Arc::clone(&running), Arc::clone(&done));
    let service =
        LockLayer::new(provider.clone(), |transfer: &Transfer| *transfer).layer(service_fn(move |_: Transfer| {
            let (running, done) = (Arc::clone(&running_in), Arc::clone(&done_in));
            async move {
                assert_eq!(running.fetch_add(1, SeqCst), 0, "two transfers of one account ran at once");
                tokio::task::yield_now().await;
                running.fetch_sub(1, SeqCst);
                done.fetch_add(1, SeqCst);
                Ok::<_, Infallible>(())
            }
        }));
    let transfers = (0..60).map(|number| [["a", "b"], ["b", "a"], ["b", "b"]][number % 3]);
    let tasks: Vec<_> = transfers.map(|transfer| tokio::spawn(service.clone().oneshot(transfer))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(done.load(SeqCst), 60);
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_frees_all_locks_or_leaves_the_queue() {
    let provider = provider();
    let service = LockLayer::new(provider.clone(), |transfer: &Transfer| *transfer)
        .layer(service_fn(|_: Transfer| std::future::pending::<Result<(), Infallible>>()));
    let mut runs = Box::pin(service.clone().oneshot(["b", "a"]));
    assert!((&mut runs).now_or_never().is_none());
    let mut waits = Box::pin(service.clone().oneshot(["b", "0"]));
    assert!((&mut waits).now_or_never().is_none());
    assert!(!is_free(&provider, "0").await, "it holds what comes before the name that it waits for");
    drop(waits);
    assert!(is_free(&provider, "0").await && !is_free(&provider, "a").await && !is_free(&provider, "b").await);
    drop(runs);
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_one_lock_cancels_or_lets_go_on() {
    let lock = |name: &'static str| {
        let request = LockRequest::try_from(name).unwrap();
        let limited = LockOptions::default().max_hold(Some(Duration::from_secs(1)));
        if name == "b" { request.options(limited) } else { request }
    };
    for on_lost in [OnLost::Cancel, OnLost::Continue] {
        let provider = provider();
        let gate = Arc::new(Notify::new());
        let (gate_in, dropped) = (Arc::clone(&gate), Arc::new(true.into()));
        let alive = Arc::new(std::sync::Mutex::new(Some(Alive(Arc::clone(&dropped)))));
        let service = LockLayer::new(provider.clone(), move |transfer: &Transfer| transfer.map(lock))
            .on_lost(on_lost)
            .layer(service_fn(move |_: Transfer| {
                let (gate, alive) = (Arc::clone(&gate_in), alive.lock().unwrap().take());
                async move {
                    gate.notified().await;
                    drop(alive);
                    Ok::<_, Infallible>(())
                }
            }));
        let mut call = pin!(service.oneshot(["a", "b"]));
        assert!((&mut call).now_or_never().is_none());
        tokio::time::sleep(Duration::from_secs(2)).await;
        match on_lost {
            OnLost::Cancel => {
                let error = call.now_or_never().expect("the loss ends the call").unwrap_err();
                assert!(matches!(refusal(&error), LockError::Lost));
                assert!(!dropped.load(SeqCst), "the inner future was dropped");
            }
            OnLost::Continue => {
                assert!((&mut call).now_or_never().is_none());
                gate.notify_one();
                call.await.unwrap();
            }
        }
        assert!(provider.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_that_is_busy_or_wrong_is_refused() {
    let provider = provider();
    let _held = provider_lock(&provider, "b").await;
    let layer = LockLayer::new(provider.clone(), |transfer: &Transfer| *transfer);
    let call = async |layer: LockLayer<_>| {
        let error =
            layer.layer(service_fn(async |_: Transfer| Ok::<_, Infallible>(()))).oneshot(["a", "b"]).await.unwrap_err();
        refusal(&error).clone()
    };
    assert!(matches!(call(layer.clone().wait(ZERO)).await, LockError::Busy { waited: ZERO }));
    let second = Duration::from_secs(1);
    assert!(matches!(call(layer.clone().wait(second)).await, LockError::Busy { waited } if waited >= second));
    assert!(matches!(call(layer.clone().max_waiters(0)).await, LockError::TooManyWaiters));
    assert!(matches!(call(layer.permits(0)).await, LockError::InvalidOptions { .. }));
    assert!(is_free(&provider, "a").await);
}

async fn provider_lock(
    provider: &orchestrix_locking::InMemoryLockProvider,
    name: &str,
) -> orchestrix_locking::LockGuard {
    use orchestrix_locking::DistributedLockProvider;
    let lock =
        provider.create_lock(name.try_into().unwrap(), LockOptions::default().mode(LockMode::Exclusive)).unwrap();
    lock.try_acquire(ZERO).await.unwrap().unwrap()
}

/// Readers run beside each other, a writer alone; of permits as many as there are.
#[tokio::test(start_paused = true)]
async fn the_mode_says_how_many_requests_run_at_once() {
    for (mode, most) in [(LockMode::Exclusive, 1), (LockMode::Shared, 9), (LockMode::permits(4), 4)] {
        let provider = provider();
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (running_in, peak_in) = (Arc::clone(&running), Arc::clone(&peak));
        let service = LockLayer::new(provider.clone(), |transfer: &Transfer| *transfer).mode(mode).layer(service_fn(
            move |_: Transfer| {
                let (running, peak) = (Arc::clone(&running_in), Arc::clone(&peak_in));
                async move {
                    peak.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    running.fetch_sub(1, SeqCst);
                    Ok::<_, Infallible>(())
                }
            },
        ));
        let tasks: Vec<_> = (0..9).map(|_| tokio::spawn(service.clone().oneshot(["b", "a"]))).collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert_eq!(peak.load(SeqCst), most, "{mode}");
        assert!(provider.is_empty());
    }
}
