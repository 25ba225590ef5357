//! A request under a layer, dropped at every point at which it can be: nothing stays, on any provider.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http::{Request, Response};
use http_body_util::BodyExt;
use orchestrix_locking::{DistributedLockProvider, HttpLockLayer, LockGuard, LockLayer, LockOptions, Resource, key};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt, service_fn};

const NAME: &str = "layer";

/// Longer than anything takes that is not waiting for the lock.
const A_MOMENT: Duration = Duration::from_millis(30);

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How many handlers are at work.
#[derive(Clone, Default)]
struct Inside(Arc<AtomicU64>);

struct One(Inside);

impl Inside {
    fn enter(&self) -> One {
        assert_eq!(self.0.fetch_add(1, SeqCst), 0, "two run under one lock");
        One(self.clone())
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// A request under [`LockLayer`]: its handler waits twice.
fn plain(provider: Arc<dyn DistributedLockProvider>, inside: &Inside) -> Running {
    let inside = inside.clone();
    let service = LockLayer::new(provider, |(): &()| Resource::try_from(NAME).unwrap()).layer(service_fn(move |()| {
        let inside = inside.clone();
        async move {
            let one = inside.enter();
            yield_now().await;
            yield_now().await;
            drop(one);
            Ok::<_, Infallible>(())
        }
    }));
    Box::pin(async move { service.oneshot(()).await.unwrap() })
}

/// A request under [`HttpLockLayer`]: its handler waits once, and its answer has two frames that each take a while.
fn http(provider: Arc<dyn DistributedLockProvider>, inside: &Inside) -> Running {
    let inside = inside.clone();
    let layer = HttpLockLayer::new(provider, key::constant(NAME));
    let service = layer.layer(service_fn(move |_: Request<Body>| {
        let inside = inside.clone();
        async move {
            let one = inside.enter();
            yield_now().await;
            let frames = stream::unfold((0, one), |(count, one)| async move {
                yield_now().await;
                (count < 2).then(|| (Ok::<_, Infallible>(Bytes::from_static(b"frame")), (count + 1, one)))
            });
            Ok::<_, Infallible>(Response::new(Body::from_stream(frames)))
        }
    }));
    Box::pin(async move {
        let answer = service.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    })
}

/// Polls up to `polls` times, each further time only when something woke it. What is left of the request, and how often
/// it was polled.
async fn polled(mut request: Running, polls: usize) -> (Option<Running>, usize) {
    let mut done = 0;
    let polling = poll_fn(|cx| {
        if done == polls {
            return Poll::Ready(false);
        }
        done += 1;
        match request.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if done == polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    });
    let ended = timeout(A_MOMENT, pin!(polling)).await.unwrap_or(false);
    ((!ended).then_some(request), done)
}

async fn acquired(provider: &Arc<dyn DistributedLockProvider>) -> LockGuard {
    let lock = provider.create_lock(NAME.try_into().unwrap(), LockOptions::default()).unwrap();
    timeout(Duration::from_secs(10), lock.acquire()).await.expect("the lock is free soon").unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let asked = Instant::now();
    while !condition() {
        assert!(asked.elapsed() < Duration::from_secs(10), "{what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Both layers: the lock is free, or held all the time, or freed after some polls.
pub(crate) async fn requests_dropped_at_every_await_point_leave_nothing(
    provider: Arc<dyn DistributedLockProvider>,
    nothing_left: impl Fn() -> bool,
) {
    for (name, request) in [("LockLayer", plain as fn(_, &Inside) -> Running), ("HttpLockLayer", http)] {
        let inside = Inside::default();
        let gone = async |what: String| {
            until(&what, || nothing_left() && inside.0.load(SeqCst) == 0).await;
        };
        let mut polls = 0;
        // Free: up to the end of the request.
        loop {
            let (left, done) = polled(request(Arc::clone(&provider), &inside), polls).await;
            let ended = left.is_none();
            drop(left);
            gone(format!("{name}: something is left of a request that was dropped after {polls} polls")).await;
            drop(acquired(&provider).await);
            if ended {
                break;
            }
            assert_eq!(done, polls, "{name}: a request under a free lock goes on");
            polls += 1;
        }
        println!("{name}: dropped after 0 to {polls} polls");
        assert!(polls >= 3, "{name}: each wait of the handler is one more poll");
        for polls in 0..4 {
            let guard = acquired(&provider).await;
            let (left, _) = polled(request(Arc::clone(&provider), &inside), polls).await;
            assert!(
                left.is_some() && inside.0.load(SeqCst) == 0,
                "{name}: no handler runs under another caller's lock"
            );
            drop(left);
            assert!(guard.is_held());
            guard.release().await.unwrap();
            gone(format!("{name}: something is left of a request that waited, dropped after {polls} polls")).await;
        }
        for before in 1..3 {
            for after in 0..=polls {
                let guard = acquired(&provider).await;
                let (left, _) = polled(request(Arc::clone(&provider), &inside), before).await;
                guard.release().await.unwrap();
                drop(polled(left.unwrap(), after).await);
                gone(format!("{name}: something is left, dropped {after} polls after the release")).await;
                drop(acquired(&provider).await);
            }
        }
        gone(format!("{name}: something is left")).await;
    }
}
