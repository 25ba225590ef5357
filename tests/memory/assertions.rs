//! What can be sent between threads and stored; checked by the compiler.

use std::future::Future;
use std::time::Duration;

use orchestrix_locking::provider::{Acquiring, LeaseState, Releasing};
use orchestrix_locking::{
    BuildError, DistributedLock, FencingToken, InMemoryLockProvider, LockError, LockGuard, LockHandle, LockOptions,
    Locking, Lost, Resource,
};

fn shared<T: Send + Sync + 'static>() {}
fn sent<T: Send + 'static>() {}
fn cloned<T: Clone>() {}
fn future_is_sent<F: Future + Send>(_: &F) {}

#[test]
fn types_can_be_sent_and_shared() {
    shared::<Locking>();
    shared::<InMemoryLockProvider>();
    shared::<DistributedLock>();
    shared::<LockGuard>();
    shared::<LockHandle>();
    shared::<Lost>();
    shared::<Resource>();
    shared::<LockOptions>();
    shared::<FencingToken>();
    shared::<LockError>();
    shared::<BuildError>();
    shared::<LeaseState>();
    sent::<Acquiring>();
    sent::<Releasing>();
    cloned::<Locking>();
    cloned::<DistributedLock>();
    cloned::<LockHandle>();
    cloned::<LockError>();
}

#[test]
fn futures_can_be_sent() {
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    let lock = locking.lock("a").unwrap();
    future_is_sent(&lock.acquire());
    future_is_sent(&lock.try_acquire(Duration::ZERO));
    future_is_sent(&locking.check());
    future_is_sent(&locking.close());
    let held = async {
        let guard = lock.acquire().await?;
        future_is_sent(&guard.lost());
        future_is_sent(&guard.extend(Duration::from_secs(1)));
        guard.release().await
    };
    future_is_sent(&held);
}
