//! [`round`]: everything that one does with a provider, with all of it kept.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, LockGuard, LockLayer, LockOptions, Locking, RedisLockOptions,
    RedisLockProvider, Refusal, key,
};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};

use super::outputs::Outputs;

/// Short, so that a silent server costs little.
pub(super) fn options(connection_string: &str) -> RedisLockOptions {
    RedisLockOptions::default()
        .connection_string(connection_string)
        .key_prefix("")
        .connect_timeout(Duration::from_millis(400))
        .response_timeout(Duration::from_millis(200))
        .close_timeout(Duration::from_millis(300))
}

/// A provider; its options and their mistakes are kept too.
pub(super) fn provider(out: &Outputs, options: RedisLockOptions) -> Option<RedisLockProvider> {
    out.debug(&options);
    let builder = Locking::builder().add_redis_locking(options.clone());
    out.debug(&builder);
    out.result(builder.build());
    out.result(RedisLockProvider::new(options))
}

/// Acquires in every way, uses what it gets, answers requests, and closes.
pub(super) async fn round(out: &Outputs, provider: &RedisLockProvider) {
    out.result(provider.check().await);
    out.result(provider.warnings().await);
    // A name as short as can be: a text that repeats the start of a command reaches what stands behind it.
    let lock = provider.create_lock("a".try_into().unwrap(), LockOptions::default()).unwrap();
    out.debug(&lock);
    for wait in [Duration::ZERO, Duration::from_millis(300)] {
        if let Some(Some(guard)) = out.result(lock.try_acquire(wait).await) {
            hold(out, provider, guard).await;
        }
    }
    requests(out, provider).await;
    out.debug(provider);
}

/// What a guard is good for.
pub(super) async fn hold(out: &Outputs, provider: &RedisLockProvider, guard: LockGuard) {
    out.debug(&guard);
    out.debug(&guard.handle());
    let second = provider.create_lock(guard.resource().clone(), LockOptions::default()).unwrap();
    out.result(second.try_acquire(Duration::from_millis(20)).await);
    out.result(guard.extend(Duration::from_secs(20)).await);
    out.result(guard.release().await);
}

async fn requests(out: &Outputs, provider: &RedisLockProvider) {
    let shared: Arc<dyn DistributedLockProvider> = Arc::new(provider.clone());
    let plain = LockLayer::new(Arc::clone(&shared), |(): &()| "a").wait(Duration::from_millis(50));
    out.debug(&plain);
    let service =
        ServiceBuilder::new().layer(plain).service(service_fn(|(): ()| async { Ok::<_, std::io::Error>(()) }));
    if let Err(error) = service.oneshot(()).await {
        out.error(&*error);
    }
    let kept = out.clone();
    let layer = HttpLockLayer::new(shared, key::constant("a")).wait(Duration::from_millis(50));
    out.debug(&layer);
    let inner =
        || service_fn(|_: Request<Body>| async { Ok::<_, std::convert::Infallible>(Response::new(Body::empty())) });
    let told = layer.clone().on_refusal(move |refusal: &Refusal, request: &http::request::Parts| {
        kept.debug(refusal);
        refusal.answer(request)
    });
    for content_type in ["text/plain", "application/grpc"] {
        let request = || Request::get("/").header("content-type", content_type).body(Body::empty()).unwrap();
        answer(out, layer.layer(inner()).oneshot(request()).await.unwrap()).await;
        answer(out, told.layer(inner()).oneshot(request()).await.unwrap()).await;
    }
}

async fn answer<B>(out: &Outputs, response: Response<B>)
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
{
    out.debug(&(response.status(), response.headers()));
    let body = response.into_body().collect().await.unwrap();
    out.debug(&body.trailers().cloned());
    out.display(&String::from_utf8_lossy(&body.to_bytes()));
}
