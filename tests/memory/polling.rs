//! The futures of an acquire, polled by hand: after their end, and over backends that answer with nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use orchestrix_locking::provider::{
    Acquired, Acquiring, BoxFuture, GrantedLease, LockBackend, LockRequest, LockRequestRef,
};
use orchestrix_locking::{DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockOptions};

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn lock(provider: &InMemoryLockProvider, options: LockOptions) -> DistributedLock {
    provider.create_lock("a".try_into().unwrap(), options).unwrap()
}

/// Each with an end and without: the two ways to a lease.
fn options() -> [LockOptions; 2] {
    [LockOptions::default(), LockOptions::default().auto_renew(false)]
}

/// Whatever came of it, a future that is polled again after its end acquires nothing.
#[tokio::test]
async fn after_its_end_a_future_is_pending() {
    for options in options() {
        let provider = InMemoryLockProvider::new();
        let lock = lock(&provider, options);
        let mut granted = pin!(lock.acquire());
        let Poll::Ready(Ok(guard)) = poll(granted.as_mut()) else { panic!("the lock is free") };
        let mut busy = pin!(lock.try_acquire(Duration::ZERO));
        assert!(matches!(poll(busy.as_mut()), Poll::Ready(Ok(None))));
        let mut waiting = pin!(lock.acquire());
        assert!(poll(waiting.as_mut()).is_pending());
        drop(guard);
        assert!(poll(granted.as_mut()).is_pending());
        assert!(poll(busy.as_mut()).is_pending());
        let Poll::Ready(Ok(guard)) = poll(waiting.as_mut()) else { panic!("the lock is the waiter's") };
        drop(guard);
        assert!(poll(waiting.as_mut()).is_pending());
        provider.close().await;
        let mut refused = pin!(lock.acquire());
        assert!(matches!(poll(refused.as_mut()), Poll::Ready(Err(LockError::Closed))));
        assert!(poll(refused.as_mut()).is_pending());
        assert!(provider.is_empty());
    }
}

/// Gives one answer after the other.
#[derive(Debug)]
struct Answers(Mutex<VecDeque<(Acquired, bool)>>);

impl LockBackend for Answers {
    fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
        let (answer, at_once) = self.0.lock().unwrap().pop_front().expect("no acquire asks again after a guard");
        if at_once { Acquiring::ready(answer) } else { Acquiring::pending(async { answer }) }
    }
}

fn granted(provider: &InMemoryLockProvider) -> GrantedLease {
    let lock = lock(provider, LockOptions::default());
    let Poll::Ready(Ok(guard)) = poll(pin!(lock.acquire())) else { panic!("the lock is free") };
    guard.into()
}

/// An acquire that waits for ever asks again, however a backend has told it that there is nothing.
#[tokio::test]
async fn an_acquire_that_waits_for_ever_asks_until_there_is_a_guard() {
    let provider = InMemoryLockProvider::new();
    for at_once in [false, true] {
        let answers = [(Ok(None), true), (Ok(None), false), (Ok(None), false), (Ok(Some(granted(&provider))), at_once)];
        let backend = Arc::new(Answers(Mutex::new(answers.into())));
        let asked: Arc<dyn LockBackend> = backend.clone();
        let lock = DistributedLock::new("b".try_into().unwrap(), LockOptions::default(), asked).unwrap();
        assert!(lock.acquire().await.unwrap().is_held());
        assert!(backend.0.lock().unwrap().is_empty());
        assert!(provider.is_empty());
    }
}

/// An [`Acquiring`] whose answer was taken has none to give, and says nothing instead of something wrong.
#[tokio::test]
async fn an_answer_that_was_taken_is_no_answer() {
    #[derive(Debug)]
    struct Spent;

    impl LockBackend for Spent {
        fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
            let mut acquiring = Acquiring::ready(Ok(None));
            assert!(poll(Pin::new(&mut acquiring)).is_ready());
            acquiring
        }
    }

    let lock = DistributedLock::new("a".try_into().unwrap(), LockOptions::default(), Arc::new(Spent)).unwrap();
    assert!(poll(pin!(lock.try_acquire(Duration::ZERO))).is_pending());
}

/// A backend that returns a future has no other result: a lease that it has granted as well is released.
#[tokio::test]
async fn a_lease_beside_a_future_is_released() {
    #[derive(Debug)]
    struct Both(InMemoryLockProvider);

    impl LockBackend for Both {
        fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
            Acquiring::pending(std::future::pending())
        }

        fn acquire_into(
            self: Arc<Self>,
            request: LockRequestRef<'_>,
            answer: &mut Acquired,
        ) -> Option<BoxFuture<'static, Acquired>> {
            *answer = Ok(Some(granted(&self.0)));
            Some(Box::pin(self.acquire(request.to_request())))
        }
    }

    let provider = InMemoryLockProvider::new();
    let backend = Arc::new(Both(provider.clone()));
    let lock = DistributedLock::new("b".try_into().unwrap(), LockOptions::default(), backend).unwrap();
    assert!(poll(pin!(lock.try_acquire(Duration::ZERO))).is_pending());
    assert!(provider.is_empty());
    assert!(poll(pin!(lock.acquire_within(Duration::ZERO))).is_pending());
    assert!(provider.is_empty());
    assert!(poll(pin!(lock.acquire())).is_pending());
    assert!(provider.is_empty());
}
