//! `LockLayer` around Tower services: each of its settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::items_after_statements)]

mod endings;
mod sets;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use orchestrix_locking::{
    BoxError, DistributedLockProvider, InMemoryLockProvider, LockError, LockLayer, LockOptions, Locking, OnLost,
    Resource,
};
use tokio::sync::{Notify, Semaphore};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const ZERO: Duration = Duration::ZERO;

/// The key of a request that is a name itself.
fn itself(request: &&'static str) -> &'static str {
    request
}

fn provider() -> InMemoryLockProvider {
    InMemoryLockProvider::new()
}

fn refusal(error: &BoxError) -> &LockError {
    error.downcast_ref::<LockError>().expect("a refusal is a LockError inside the BoxError")
}

async fn is_free(provider: &InMemoryLockProvider, name: &str) -> bool {
    let lock = provider.create_lock(Resource::try_from(name).unwrap(), LockOptions::default()).unwrap();
    lock.try_acquire(ZERO).await.unwrap().is_some()
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn waiters(provider: &InMemoryLockProvider, name: &str) -> usize {
    provider.inspect(&Resource::try_from(name).unwrap()).map_or(0, |info| info.waiters)
}

/// A service with this readiness, which must not be called.
#[derive(Clone)]
struct Unready(fn() -> Poll<Result<(), BoxError>>);

impl Service<&'static str> for Unready {
    type Response = ();
    type Error = BoxError;
    type Future = std::future::Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0()
    }

    fn call(&mut self, _: &'static str) -> Self::Future {
        panic!("called although it was not ready")
    }
}

/// Counts its live values.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_for_one_key_never_overlap() {
    let running = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicUsize::new(0));
    let provider = provider();
    let (running_in, done_in) = (Arc::clone(&running), Arc::clone(&done));
    let service = LockLayer::new(provider.clone(), itself).layer(service_fn(move |_: &'static str| {
        let (running, done) = (Arc::clone(&running_in), Arc::clone(&done_in));
        async move {
            assert_eq!(running.fetch_add(1, SeqCst), 0, "two requests for one key ran at once");
            tokio::task::yield_now().await;
            running.fetch_sub(1, SeqCst);
            done.fetch_add(1, SeqCst);
            Ok::<_, Infallible>(())
        }
    }));
    let tasks: Vec<_> = (0..100).map(|_| tokio::spawn(service.clone().oneshot("a"))).collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(done.load(SeqCst), 100);
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_on_a_does_not_starve_b_through_a_concurrency_limit_of_two() {
    let gate = Arc::new(Notify::new());
    let gate_in = Arc::clone(&gate);
    let inner = service_fn(move |request: &'static str| {
        let gate = Arc::clone(&gate_in);
        async move {
            if request == "a" {
                gate.notified().await;
            }
            Ok::<_, BoxError>(request)
        }
    });
    let provider = provider();
    // Two permits, and the holder of `a` has one. If a waiter took the other, `b` could not run.
    let service = LockLayer::new(provider.clone(), itself).layer(ConcurrencyLimit::new(inner, 2));
    let holder = tokio::spawn(service.clone().oneshot("a"));
    until(|| !provider.is_empty()).await;
    let waiting: Vec<_> = (0..5).map(|_| tokio::spawn(service.clone().oneshot("a"))).collect();
    until(|| waiters(&provider, "a") == 5).await;
    assert_eq!(service.clone().oneshot("b").await.unwrap(), "b");
    for _ in 0..6 {
        gate.notify_one();
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    holder.await.unwrap().unwrap();
    for task in waiting {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn is_ready_whatever_the_inner_service_says() {
    let provider = provider();
    let mut service = LockLayer::new(provider.clone(), itself).layer(Unready(|| Poll::Pending));
    assert!(service.ready().now_or_never().is_some(), "readiness is asked for after the lock");
    let mut response = Box::pin(service.call("a"));
    assert!(response.as_mut().now_or_never().is_none());
    assert!(!is_free(&provider, "a").await, "the lock is held while the inner service gets ready");
    drop(response);
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_loss_while_the_inner_service_gets_ready_is_a_loss() {
    let provider = provider();
    let options = LockOptions::default().max_hold(Some(Duration::from_secs(2)));
    let error =
        LockLayer::new(provider.clone(), itself).options(options).layer(Unready(|| Poll::Pending)).oneshot("a").await;
    assert!(matches!(refusal(&error.unwrap_err()), LockError::Lost));
    assert!(provider.is_empty());
}

#[tokio::test]
async fn readiness_that_fails_frees_the_lock() {
    let provider = provider();
    let error = LockLayer::new(provider.clone(), itself)
        .layer(Unready(|| Poll::Ready(Err("broken".into()))))
        .oneshot("a")
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_response_future_frees_the_lock_and_the_place_in_the_queue() {
    let provider = provider();
    let inner = service_fn(|_: &'static str| std::future::pending::<Result<(), BoxError>>());
    let service = LockLayer::new(provider.clone(), itself).layer(inner);
    let mut holder = Box::pin(service.clone().oneshot("a"));
    assert!(holder.as_mut().now_or_never().is_none());
    let mut waiter = Box::pin(service.clone().oneshot("a"));
    assert!(waiter.as_mut().now_or_never().is_none());
    assert_eq!(waiters(&provider, "a"), 1);
    drop(waiter);
    assert_eq!(waiters(&provider, "a"), 0);
    drop(holder);
    assert!(provider.is_empty());
}

#[tokio::test]
async fn a_response_future_that_is_never_polled_takes_nothing() {
    let provider = provider();
    let mut service =
        LockLayer::new(provider.clone(), itself).layer(service_fn(|_: &'static str| async { Ok::<_, BoxError>(()) }));
    let response = service.call("a");
    assert!(provider.is_empty());
    drop(response);
    assert!(provider.is_empty());
}

#[tokio::test]
async fn an_inner_error_frees_the_lock_and_is_passed_on() {
    let provider = provider();
    let service = LockLayer::new(provider.clone(), itself)
        .layer(service_fn(|_: &'static str| async { Err::<(), BoxError>("inner".into()) }));
    assert_eq!(service.oneshot("a").await.unwrap_err().to_string(), "inner");
    assert!(provider.is_empty());
}

#[tokio::test(start_paused = true)]
async fn gives_up_with_busy_and_the_time_that_it_waited() {
    let provider = provider();
    let held = provider.create_lock("a".try_into().unwrap(), LockOptions::default()).unwrap().acquire().await.unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let calls_in = Arc::clone(&calls);
    let inner = service_fn(move |_: &'static str| {
        calls_in.fetch_add(1, SeqCst);
        async { Ok::<_, BoxError>(()) }
    });
    for wait in [ZERO, Duration::from_millis(250)] {
        let layer = LockLayer::new(provider.clone(), itself).wait(wait);
        let error = layer.layer(inner.clone()).oneshot("a").await.unwrap_err();
        let LockError::Busy { waited } = refusal(&error) else { panic!("{error}") };
        assert_eq!(waited.as_millis(), wait.as_millis());
    }
    assert_eq!(calls.load(SeqCst), 0, "a refused request never reaches the inner service");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn max_waiters_bounds_the_queue_and_does_not_count_the_holder() {
    let provider = provider();
    let gate = Arc::new(Semaphore::new(0));
    let gate_in = Arc::clone(&gate);
    let inner = service_fn(move |_: &'static str| {
        let gate = Arc::clone(&gate_in);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok::<_, BoxError>(())
        }
    });
    let service = LockLayer::new(provider.clone(), itself).max_waiters(2).layer(inner.clone());
    let tasks: Vec<_> = (0..3).map(|_| tokio::spawn(service.clone().oneshot("a"))).collect();
    until(|| waiters(&provider, "a") == 2).await;
    let error = service.clone().oneshot("a").await.unwrap_err();
    assert!(matches!(refusal(&error), LockError::TooManyWaiters));
    let without_waiters = LockLayer::new(provider.clone(), itself).max_waiters(0).layer(inner);
    assert!(matches!(refusal(&without_waiters.oneshot("a").await.unwrap_err()), LockError::TooManyWaiters));
    gate.add_permits(3);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(provider.is_empty());
}

#[tokio::test]
async fn none_needs_no_lock_and_err_is_refused_with_its_source() {
    #[derive(Debug, thiserror::Error)]
    #[error("no account in the request")]
    struct NoAccount;
    struct Named(Option<&'static str>);

    let provider = provider();
    let calls = Arc::new(AtomicUsize::new(0));
    let calls_in = Arc::clone(&calls);
    let inner = service_fn(move |_: Named| {
        calls_in.fetch_add(1, SeqCst);
        async { Ok::<_, BoxError>(()) }
    });
    let held = provider.create_lock("a".try_into().unwrap(), LockOptions::default()).unwrap().acquire().await.unwrap();
    let optional = LockLayer::new(provider.clone(), |request: &Named| request.0).wait(ZERO);
    optional.layer(inner.clone()).oneshot(Named(None)).await.unwrap();
    assert_eq!(calls.load(SeqCst), 1);
    assert!(optional.layer(inner.clone()).oneshot(Named(Some("a"))).await.is_err());

    let fallible = LockLayer::new(provider.clone(), |request: &Named| request.0.ok_or(NoAccount));
    let error = fallible.layer(inner.clone()).oneshot(Named(None)).await.unwrap_err();
    let LockError::InvalidResource { source, .. } = refusal(&error) else { panic!("{error}") };
    assert!(source.as_error().downcast_ref::<NoAccount>().is_some());
    let source = std::error::Error::source(refusal(&error)).unwrap();
    assert!(source.downcast_ref::<NoAccount>().is_some());

    let empty = LockLayer::new(provider.clone(), |_: &Named| String::new());
    let error = empty.layer(inner).oneshot(Named(None)).await.unwrap_err();
    assert!(matches!(refusal(&error), LockError::InvalidResource { .. }));
    assert_eq!(calls.load(SeqCst), 1, "a refused request never reaches the inner service");
    drop(held);
}

#[tokio::test]
async fn options_out_of_range_are_refused_at_the_request() {
    let layer = LockLayer::new(provider(), itself).ttl(ZERO);
    let error = layer.layer(service_fn(|_: &'static str| async { Ok::<_, BoxError>(()) })).oneshot("a").await;
    assert!(matches!(refusal(&error.unwrap_err()), LockError::InvalidOptions { option: "ttl", .. }));
}

#[tokio::test(start_paused = true)]
async fn a_loss_cancels_the_inner_future_or_lets_it_go_on() {
    let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
    for on_lost in [OnLost::Cancel, OnLost::Continue] {
        let provider = provider();
        let alive = Arc::new(AtomicBool::new(true));
        let alive_in = Arc::clone(&alive);
        let inner = service_fn(move |_: &'static str| {
            let alive = Alive(Arc::clone(&alive_in));
            async move {
                let _alive = alive;
                tokio::time::sleep(Duration::from_secs(3)).await; // Three times the lease.
                Ok::<_, BoxError>("finished")
            }
        });
        let layer = LockLayer::new(provider.clone(), itself).options(options).on_lost(on_lost);
        let start = tokio::time::Instant::now();
        let answer = layer.layer(inner).oneshot("a").await;
        let took = start.elapsed().as_secs();
        match on_lost {
            OnLost::Cancel => {
                assert!(matches!(refusal(&answer.unwrap_err()), LockError::Lost));
                assert_eq!(took, 1, "at the moment of the loss");
            }
            OnLost::Continue => {
                assert_eq!(answer.unwrap(), "finished");
                assert_eq!(took, 3);
            }
        }
        assert!(!alive.load(SeqCst), "the inner future is gone");
        assert!(provider.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_finished_after_the_loss_is_a_loss() {
    let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
    let inner = service_fn(|_: &'static str| async {
        tokio::time::advance(Duration::from_secs(2)).now_or_never();
        Ok::<_, BoxError>(())
    });
    let error = LockLayer::new(provider(), itself).options(options).layer(inner).oneshot("a").await.unwrap_err();
    assert!(matches!(refusal(&error), LockError::Lost));
}

#[tokio::test(start_paused = true)]
async fn closing_the_provider_cancels_what_runs_and_refuses_what_waits() {
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    let inner = service_fn(|_: &'static str| std::future::pending::<Result<(), BoxError>>());
    let service = ServiceBuilder::new().layer(locking.layer(itself)).service(inner);
    let running = tokio::spawn(service.clone().oneshot("a"));
    tokio::task::yield_now().await;
    let waiting = tokio::spawn(service.clone().oneshot("a"));
    tokio::task::yield_now().await;
    locking.close().await;
    assert!(matches!(refusal(&running.await.unwrap().unwrap_err()), LockError::Lost));
    assert!(matches!(refusal(&waiting.await.unwrap().unwrap_err()), LockError::Closed));
    assert!(matches!(refusal(&service.oneshot("a").await.unwrap_err()), LockError::Closed));
}

#[tokio::test]
async fn a_layer_per_request_locks_like_one_layer() {
    // axum calls `layer` and `clone` for each request at times. They share everything.
    let provider = provider();
    let layer = LockLayer::new(provider.clone(), itself).wait(ZERO);
    let pending = service_fn(|_: &'static str| std::future::pending::<Result<(), BoxError>>());
    let mut held = Box::pin(layer.layer(pending).oneshot("a"));
    assert!(held.as_mut().now_or_never().is_none());
    let other = layer.clone().layer(service_fn(|_: &'static str| async { Ok::<_, BoxError>(()) }));
    assert!(matches!(refusal(&other.clone().oneshot("a").await.unwrap_err()), LockError::Busy { .. }));
    other.oneshot("b").await.unwrap();
}

#[test]
fn a_request_outside_a_runtime_is_a_typed_error() {
    let service =
        LockLayer::new(provider(), itself).layer(service_fn(|_: &'static str| async { Ok::<_, BoxError>(()) }));
    let error = service.oneshot("a").now_or_never().unwrap().unwrap_err();
    assert!(matches!(refusal(&error), LockError::NoRuntime));
}

#[test]
fn clones_without_bounds_on_the_closure_and_a_dyn_provider_will_do() {
    struct NotClone;
    let secret = NotClone;
    let dynamic: Arc<dyn DistributedLockProvider> = Arc::new(provider());
    let layer = LockLayer::new(dynamic, move |_: &u32| {
        let _ = &secret;
        "a"
    });
    let service = layer.clone().layer(service_fn(|request: u32| async move { Ok::<_, BoxError>(request) }));
    fn is_service<S: Service<u32> + Clone + Send + Sync + 'static>(_: &S)
    where
        S::Future: Send + 'static,
    {
    }
    is_service(&service);
}
