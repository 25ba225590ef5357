//! `Retry-After` is what is left of the lease of a holder that does not renew it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockGuard, LockOptions, Refusal, key,
};
use tower::{Layer, ServiceExt, service_fn};

const NAME: &str = "the-lock";
const TTL: Duration = Duration::from_secs(30);
const WAIT: Duration = Duration::from_secs(2);

async fn hold(provider: &InMemoryLockProvider, options: LockOptions) -> LockGuard {
    provider.create_lock(NAME.try_into().unwrap(), options).unwrap().acquire().await.unwrap()
}

/// `Retry-After` of a request that comes now, and waits for [`WAIT`] in vain.
async fn retry_after(provider: &InMemoryLockProvider) -> String {
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(WAIT);
    let service =
        layer.layer(service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
    let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    answer.headers()[RETRY_AFTER].to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_its_lease_is_done_soon() {
    let provider = InMemoryLockProvider::new();
    let _guard = hold(&provider, LockOptions::default().ttl(TTL)).await;
    tokio::time::advance(TTL * 9 / 10).await;
    assert_eq!(retry_after(&provider).await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_ends_when_it_says() {
    let provider = InMemoryLockProvider::new();
    std::mem::forget(hold(&provider, LockOptions::default().ttl(TTL).auto_renew(false)).await);
    // 28 s of the lease are left: a live holder may have that many left too.
    assert_eq!(retry_after(&provider).await, "1");
    tokio::time::advance(Duration::from_millis(9_500)).await;
    // 16.5 s are left, rounded up: a client that comes back earlier would be refused again.
    assert_eq!(retry_after(&provider).await, "17");
    // Every waiter gets the value, not only the first.
    let (one, other) = tokio::join!(retry_after(&provider), retry_after(&provider));
    assert_eq!([one, other], ["15", "15"]);
    tokio::time::advance(Duration::from_millis(12_400)).await;
    assert_eq!(retry_after(&provider).await, "1");
}

#[tokio::test(start_paused = true)]
async fn no_client_is_sent_away_for_more_than_half_a_minute() {
    let provider = InMemoryLockProvider::new();
    std::mem::forget(hold(&provider, LockOptions::default().ttl(TTL * 100).auto_renew(false)).await);
    tokio::time::advance(TTL * 90).await;
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(WAIT).ttl(TTL * 100).on_refusal(
        |refusal: &Refusal, request: &http::request::Parts| {
            assert_eq!(refusal.retry_after(), Some(Duration::from_secs(30)));
            refusal.answer(request)
        },
    );
    let service =
        layer.layer(service_fn(|_: Request<Body>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
    let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(answer.headers()[RETRY_AFTER], "30");
}

/// The value of one lock is never used for another.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_another_lease_is_not_told() {
    let provider = InMemoryLockProvider::new();
    let other = provider.create_lock("other".try_into().unwrap(), LockOptions::default()).unwrap();
    let unrenewed = LockOptions::default().ttl(TTL).auto_renew(false);
    std::mem::forget(provider.create_lock("other".try_into().unwrap(), unrenewed).unwrap().acquire().await.unwrap());
    let _guard = hold(&provider, LockOptions::default().ttl(TTL)).await;
    tokio::time::advance(TTL / 2).await;
    assert!(other.try_acquire(WAIT).await.unwrap().is_none());
    assert_eq!(retry_after(&provider).await, "1");
}
