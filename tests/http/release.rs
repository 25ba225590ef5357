//! Answers wait for the reply to the release, with a time limit.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::{StatusCode, Version};
use http_body_util::BodyExt;
use orchestrix_locking::provider::{Acquiring, BoxFuture, Lease, LeaseState, LockBackend, Releasing, Term};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, FencingToken, HoldUntil, HttpLockLayer, LockError, LockOptions,
    LockRequest, OnLost, Release, Resource, key,
};
use tokio::time::Instant;

use crate::body::{data, respond, script};

/// Grants every lock, and replies to a release after a while.
#[derive(Debug, Clone, Copy)]
struct Slow {
    after: Duration,
    with: Release,
}

#[derive(Debug)]
struct SlowLease {
    state: LeaseState,
    slow: Slow,
}

impl DistributedLockProvider for Slow {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        DistributedLock::new(resource, options, Arc::new(*self))
    }
}

impl LockBackend for Slow {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        let term = Term::new(Instant::now(), request.configured_options().configured_ttl());
        let state = LeaseState::held(request.into_resource(), FencingToken::new(1).unwrap(), term);
        Acquiring::ready(Ok(Some(Arc::new(SlowLease { state, slow: *self }).into())))
    }
}

impl Lease for SlowLease {
    fn state(&self) -> &LeaseState {
        &self.state
    }

    fn extend(self: Arc<Self>, _: Duration) -> BoxFuture<'static, Result<bool, LockError>> {
        Box::pin(std::future::ready(Ok(true)))
    }

    fn release(self: Arc<Self>) -> Releasing {
        self.state.release();
        let slow = self.slow;
        Releasing::pending(async move {
            tokio::time::sleep(slow.after).await;
            Ok(slow.with)
        })
    }
}

fn layer(seconds: u64, with: Release) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(Slow { after: Duration::from_secs(seconds), with }, key::constant("a"))
}

#[tokio::test(start_paused = true)]
async fn the_last_frame_waits_for_the_answer_to_the_release() {
    let response = respond(layer(2, Release::Released), Version::HTTP_2, script([data("a"), data("b")], true)).await;
    let (mut body, started) = (response.into_body(), Instant::now());
    body.frame().await.unwrap().unwrap();
    assert!(started.elapsed().is_zero());
    assert_pending(body.frame());
    // A frame that is kept back still counts.
    assert_eq!((http_body::Body::size_hint(&body).exact(), http_body::Body::is_end_stream(&body)), (Some(1), false));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "b");
    assert_eq!(started.elapsed().as_secs(), 2);
    assert!(http_body::Body::is_end_stream(&body));
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_not_answered_holds_the_answer_up_for_its_timeout_only() {
    for (layer, seconds) in [
        (layer(600, Release::Released), 5),
        (layer(600, Release::Released).release_timeout(Duration::from_secs(1)), 1),
        (layer(600, Release::Released).hold_until(HoldUntil::Response), 5),
    ] {
        let started = Instant::now();
        let body = respond(layer, Version::HTTP_2, script([data("a")], true)).await.into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "a");
        assert_eq!(started.elapsed().as_secs(), seconds);
    }
}

#[tokio::test(start_paused = true)]
async fn a_loss_that_only_the_release_tells_of_is_one() {
    let lost = || layer(1, Release::AlreadyLost);
    let body = || script([data("a")], true);
    let error = respond(lost(), Version::HTTP_2, body()).await.into_body().collect().await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(LockError::Lost)));
    let response = respond(lost().hold_until(HoldUntil::Response), Version::HTTP_2, body()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let continued = respond(lost().on_lost(OnLost::Continue), Version::HTTP_2, body()).await;
    assert_eq!(continued.into_body().collect().await.unwrap().to_bytes(), "a");
}

/// One poll.
fn assert_pending(future: impl Future) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}
