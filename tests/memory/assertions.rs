//! What can be sent between threads and stored; checked by the compiler. `tests/http` and `tests/redis` have their own.

use std::future::Future;
use std::time::Duration;

use orchestrix_locking::middleware::ResponseFuture;
use orchestrix_locking::provider::{
    Acquired, Acquiring, BackendId, BoxFuture, GrantedLease, Lease, LeaseState, LeaseStatus, LockBackend, LockRequest,
    LockRequestRef, Releasing, Term, Wait,
};
use orchestrix_locking::{
    BoxError, BuildError, BuildProblem, Cause, DistributedLock, DistributedLockProvider, FencingToken,
    InMemoryLockProvider, LockError, LockGuard, LockHandle, LockInfo, LockLayer, LockOptions, LockService, Locking,
    LockingBuilder, Lost, OnLost, ParseFencingTokenError, RefusedValue, Release, Resource, ResourceError,
};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

fn shared<T: Send + Sync + ?Sized + 'static>() {}
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
    shared::<RefusedValue>();
    sent::<Acquired>();
    shared::<BuildError>();
    shared::<LeaseState>();
    shared::<LockInfo>();
    shared::<BuildProblem>();
    shared::<ParseFencingTokenError>();
    shared::<ResourceError>();
    shared::<Cause>();
    shared::<BoxError>();
    shared::<LockingBuilder>();
    shared::<OnLost>();
    shared::<LockLayer<fn(&str) -> &'static str>>();
    shared::<LockService<(), fn(&str) -> &'static str>>();
    shared::<dyn DistributedLockProvider>();
    shared::<dyn LockBackend>();
    shared::<dyn Lease>();
    shared::<Term>();
    shared::<Wait>();
    shared::<BackendId>();
    shared::<GrantedLease>();
    shared::<LockRequest>();
    shared::<LockRequestRef<'static>>();
    shared::<LeaseStatus>();
    shared::<Release>();
    sent::<BoxFuture<'static, ()>>();
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

#[test]
fn services_under_a_lock_can_be_sent_shared_and_boxed() {
    type Inner = BoxCloneSyncService<u64, (), BoxError>;
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "a layer's key is read from a reference")]
    fn name(number: &u64) -> String {
        number.to_string()
    }
    let inner: Inner = BoxCloneSyncService::new(service_fn(|_: u64| async { Ok::<_, BoxError>(()) }));
    let mut service = LockLayer::new(InMemoryLockProvider::new(), name as fn(&u64) -> String).layer(inner);
    future_is_sent(&service.call(1));
    sent::<ResponseFuture<LockService<Inner, fn(&u64) -> String>, u64>>();
    drop(service.boxed_clone());
}
