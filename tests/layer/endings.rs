//! The ends of a request: what ran under the lock is dropped before it, and no request runs without its lock.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::Duration;

use futures_util::FutureExt;
use orchestrix_locking::provider::{Acquired, Acquiring, BoxFuture, LockBackend, LockRequest, LockRequestRef};
use orchestrix_locking::{
    BoxError, DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockLayer, LockOptions,
    Resource,
};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{ZERO, is_free, itself, provider, refusal};

/// A lease that ends within a step, and a step that is longer.
const SHORT: Duration = LockOptions::MIN_TTL;
const LONGER: Duration = Duration::from_millis(25);

/// Counts values that were dropped under the lock, and values that were not.
#[derive(Default)]
struct Drops {
    under: AtomicUsize,
    after: AtomicUsize,
}

/// A value whose drop checks whether the lock's entry still exists, with its lease ended or not.
struct Looks(InMemoryLockProvider, Arc<Drops>);

impl Drop for Looks {
    fn drop(&mut self) {
        let count = if self.0.is_empty() { &self.1.after } else { &self.1.under };
        count.fetch_add(1, SeqCst);
    }
}

/// What the inner service does.
#[derive(Debug, Clone, Copy)]
enum Does {
    Answers,
    Fails,
    NeverAnswers,
    AnswersAfterTheLoss,
    IsReadyAfterTheLoss,
    IsNeverReady,
    IsNotReadyAndFails,
}

const EVERYTHING: [Does; 7] = [
    Does::Answers,
    Does::Fails,
    Does::NeverAnswers,
    Does::AnswersAfterTheLoss,
    Does::IsReadyAfterTheLoss,
    Does::IsNeverReady,
    Does::IsNotReadyAndFails,
];

#[derive(Clone)]
struct Inner(Does, Arc<Drops>, InMemoryLockProvider);

impl Service<Looks> for Inner {
    type Response = Looks;
    type Error = BoxError;
    type Future = futures_util::future::BoxFuture<'static, Result<Looks, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.0 {
            Does::IsReadyAfterTheLoss => sleep(LONGER),
            Does::IsNeverReady => return Poll::Pending,
            Does::IsNotReadyAndFails => return Poll::Ready(Err("not ready".into())),
            _ => {}
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Looks) -> Self::Future {
        let does = self.0;
        let (of_future, answer) =
            (Looks(self.2.clone(), Arc::clone(&self.1)), Looks(self.2.clone(), Arc::clone(&self.1)));
        Box::pin(async move {
            let _kept = (request, of_future);
            match does {
                Does::NeverAnswers => pending().await,
                Does::Fails => Err("it failed".into()),
                Does::AnswersAfterTheLoss => {
                    sleep(LONGER);
                    Ok(answer)
                }
                _ => Ok(answer),
            }
        })
    }
}

/// The request, the inner future, and an answer that is not returned are dropped before the lock, at every end.
#[tokio::test]
async fn what_ran_under_the_lock_goes_before_it() {
    for does in EVERYTHING {
        let (provider, drops) = (provider(), Arc::new(Drops::default()));
        let options = LockOptions::default().ttl(SHORT).auto_renew(false);
        let layer = LockLayer::new(provider.clone(), |_: &Looks| "a").options(options);
        let service = layer.layer(Inner(does, Arc::clone(&drops), provider.clone()));
        let request = Looks(provider.clone(), Arc::clone(&drops));
        let mut response = Box::pin(service.oneshot(request));
        let answer = response.as_mut().now_or_never();
        match does {
            Does::Answers => assert!(matches!(answer, Some(Ok(_)))),
            Does::NeverAnswers | Does::IsNeverReady => assert!(answer.is_none()),
            Does::Fails | Does::IsNotReadyAndFails => assert!(matches!(answer, Some(Err(_)))),
            Does::AnswersAfterTheLoss | Does::IsReadyAfterTheLoss => {
                let Some(Err(error)) = &answer else { panic!("{does:?}: no refusal") };
                assert!(matches!(refusal(error), LockError::Lost), "{does:?}: {error}");
            }
        }
        drop(response);
        assert_eq!(drops.after.load(SeqCst), 0, "{does:?}");
        assert!(drops.under.load(SeqCst) > 0, "{does:?}");
        assert!(provider.is_empty(), "{does:?}");
        // A returned answer belongs to the caller, and is dropped here.
        drop(answer);
    }
}

#[tokio::test]
async fn the_lock_is_free_before_the_caller_sees_the_answer() {
    let provider = provider();
    let mut service = LockLayer::new(provider.clone(), itself)
        .wait(ZERO)
        .layer(service_fn(|request: &'static str| async move { Ok::<_, BoxError>(request) }));
    for _ in 0..1000 {
        service.ready().await.unwrap().call("a").await.unwrap();
        assert!(provider.is_empty());
    }
}

/// Where a service panics.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Panics {
    WhenAskedForReadiness,
    WhenCalled,
    InItsFuture,
}

impl Service<&'static str> for Panics {
    type Response = ();
    type Error = BoxError;
    type Future = futures_util::future::BoxFuture<'static, Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if *self == Self::WhenAskedForReadiness {
            panics();
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: &'static str) -> Self::Future {
        if *self == Self::WhenCalled {
            panics();
        }
        Box::pin(async {
            tokio::task::yield_now().await;
            panics();
            Ok(())
        })
    }
}

/// As `panic!` does, without a report.
fn panics() {
    resume_unwind(Box::new("a panic of the test's own"));
}

#[tokio::test]
async fn a_panicking_service_frees_the_lock() {
    for panics in [Panics::WhenAskedForReadiness, Panics::WhenCalled, Panics::InItsFuture] {
        let provider = provider();
        let service = LockLayer::new(provider.clone(), itself).layer(panics);
        assert!(tokio::spawn(service.clone().oneshot("a")).await.unwrap_err().is_panic());
        assert!(is_free(&provider, "a").await, "{panics:?}");
        // If a panic is caught around a single poll, the lock is freed with the future.
        let mut service = service;
        let mut response = Box::pin(service.call("a"));
        let context = &mut Context::from_waker(Waker::noop());
        let mut poll = || catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context).is_ready()));
        while matches!(poll(), Ok(false)) {}
        drop(response);
        assert!(provider.is_empty(), "{panics:?}");
    }
}

/// A backend that panics has granted nothing. A request that is polled again after that must not run like a request
/// that needs no lock.
#[tokio::test]
async fn nothing_runs_without_its_lock_after_the_backend_panicked() {
    #[derive(Debug)]
    struct Backend;

    impl LockBackend for Backend {
        fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
            panics();
            Acquiring::ready(Ok(None))
        }
    }

    #[derive(Debug)]
    struct Provider;

    impl DistributedLockProvider for Provider {
        fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
            DistributedLock::new(resource, options, Arc::new(Backend))
        }
    }

    let called = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&called);
    let inner = service_fn(move |_: &'static str| -> Ready<Result<(), Infallible>> {
        count.fetch_add(1, SeqCst);
        ready(Ok(()))
    });
    let mut response = Box::pin(LockLayer::new(Provider, itself).layer(inner).call("a"));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context).is_ready())).is_err());
    assert!(response.as_mut().poll(context).is_pending());
    assert_eq!(called.load(SeqCst), 0);
}

/// A backend that panics after it has made the guard: the lock is free, although the future still lives.
#[tokio::test]
async fn a_lock_whose_grant_panicked_is_free_at_once() {
    #[derive(Debug)]
    struct Granting(InMemoryLockProvider);

    impl LockBackend for Granting {
        fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
            Acquiring::ready(Ok(None))
        }

        fn acquire_into(
            self: Arc<Self>,
            request: LockRequestRef<'_>,
            answer: &mut Acquired,
        ) -> Option<BoxFuture<'static, Acquired>> {
            let lock = self.0.create_lock(request.resource().clone(), *request.configured_options()).unwrap();
            *answer = Ok(lock.acquire().now_or_never().unwrap().map(|guard| Some(guard.into())).unwrap());
            panics();
            None
        }
    }

    #[derive(Debug)]
    struct Provider(InMemoryLockProvider);

    impl DistributedLockProvider for Provider {
        fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
            DistributedLock::new(resource, options, Arc::new(Granting(self.0.clone())))
        }
    }

    let held = provider();
    let mut response = Box::pin(
        LockLayer::new(Provider(held.clone()), itself).layer(service_fn(|_| ready(Ok::<_, Infallible>(())))).call("a"),
    );
    let context = &mut Context::from_waker(Waker::noop());
    assert!(catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(context).is_ready())).is_err());
    assert!(held.is_empty());
    assert!(response.as_mut().poll(context).is_pending());

    let lock = Provider(held.clone()).create_lock("a".try_into().unwrap(), LockOptions::default()).unwrap();
    let mut acquire = Box::pin(lock.acquire());
    assert!(catch_unwind(AssertUnwindSafe(|| acquire.as_mut().poll(context).is_ready())).is_err());
    assert!(acquire.as_mut().poll(context).is_pending(), "what has panicked is not begun anew");
    assert!(held.is_empty());
}
