//! `LockBody` frame by frame, without a server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockBody, LockError, LockOptions, key};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::is_free;

const NAME: &str = "the-lock";

/// Yields the given frames, and shows its end in the given way.
pub(crate) struct Scripted {
    frames: VecDeque<Result<Frame<Bytes>, &'static str>>,
    shows_end: bool,
    stalls: bool,
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        match self.frames.pop_front() {
            None if self.stalls => Poll::Pending,
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.shows_end && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.frames.iter().flatten().filter_map(|frame| Some(frame.data_ref()?.len() as u64)).sum();
        SizeHint::with_exact(left)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a script is made of")]
pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

async fn answer(
    provider: &InMemoryLockProvider,
    options: LockOptions,
    version: Version,
    body: Scripted,
) -> LockBody<Scripted> {
    respond(HttpLockLayer::new(provider.clone(), key::constant(NAME)).options(options), version, body).await.into_body()
}

pub(crate) async fn respond(
    layer: HttpLockLayer<key::Key>,
    version: Version,
    body: Scripted,
) -> Response<LockBody<Scripted>> {
    let mut body = Some(body);
    let inner = service_fn(move |_: Request<()>| {
        let response = Response::new(body.take().unwrap());
        async move { Ok::<_, Infallible>(response) }
    });
    let inner = OnceClone(Arc::new(Mutex::new(inner)));
    let mut request = Request::new(());
    *request.version_mut() = version;
    layer.layer(inner).oneshot(request).await.unwrap()
}

/// Makes a service that is called once cloneable, as the layer requires.
struct OnceClone<S>(Arc<Mutex<S>>);

impl<S> Clone for OnceClone<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: tower::Service<Request<()>>> tower::Service<Request<()>> for OnceClone<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.lock().unwrap().poll_ready(cx)
    }

    fn call(&mut self, request: Request<()>) -> S::Future {
        self.0.lock().unwrap().call(request)
    }
}

pub(crate) fn script(
    frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>,
    shows_end: bool,
) -> Scripted {
    Scripted { frames: frames.into_iter().collect(), shows_end, stalls: false }
}

#[tokio::test]
async fn the_lock_is_free_with_the_last_frame_and_not_before() {
    let provider = InMemoryLockProvider::new();
    let body = script([data("a"), data("b")], true);
    let mut body = answer(&provider, LockOptions::default(), Version::HTTP_2, body).await;
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(2), false));
    body.frame().await.unwrap().unwrap();
    assert!(!is_free(&provider, NAME).await && !body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(1));
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "b");
    assert!(is_free(&provider, NAME).await && body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn an_end_that_does_not_show_is_waited_for_on_http_2_but_not_on_http_1() {
    for (version, free) in [(Version::HTTP_2, false), (Version::HTTP_11, true)] {
        let provider = InMemoryLockProvider::new();
        let mut body = answer(&provider, LockOptions::default(), version, script([data("a")], false)).await;
        body.frame().await.unwrap().unwrap();
        assert_eq!(is_free(&provider, NAME).await, free, "{version:?}");
        assert!(body.frame().await.is_none());
        assert!(is_free(&provider, NAME).await && body.is_end_stream());
    }
}

#[tokio::test]
async fn trailers_are_passed_on_with_the_lock_free() {
    let provider = InMemoryLockProvider::new();
    let trailers =
        HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from_static("1"))]);
    let body = script([data("a"), Ok(Frame::trailers(trailers.clone()))], false);
    let mut body = answer(&provider, LockOptions::default(), Version::HTTP_2, body).await;
    body.frame().await.unwrap().unwrap();
    assert!(!is_free(&provider, NAME).await);
    assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert!(is_free(&provider, NAME).await && body.is_end_stream());
}

#[tokio::test]
async fn an_error_or_a_drop_frees_the_lock() {
    let provider = InMemoryLockProvider::new();
    let body = script([data("a"), Err("broken"), data("never")], false);
    let mut body = answer(&provider, LockOptions::default(), Version::HTTP_2, body).await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "broken");
    assert!(is_free(&provider, NAME).await && body.frame().await.is_none());

    let body = answer(&provider, LockOptions::default(), Version::HTTP_2, script([data("a")], true)).await;
    assert!(!is_free(&provider, NAME).await);
    drop(body);
    assert!(is_free(&provider, NAME).await);
}

#[tokio::test]
async fn a_body_that_has_ended_already_comes_without_the_lock() {
    let provider = InMemoryLockProvider::new();
    let body = answer(&provider, LockOptions::default(), Version::HTTP_2, script([], true)).await;
    assert!(is_free(&provider, NAME).await && body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn a_loss_ends_the_body_whether_it_stalls_or_not() {
    let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
    for stalls in [true, false] {
        let provider = InMemoryLockProvider::new();
        let more = if stalls { vec![data("a")] } else { vec![data("a"), data("b"), data("c")] };
        let body = Scripted { stalls, ..script(more, false) };
        let mut body = answer(&provider, options, Version::HTTP_2, body).await;
        body.frame().await.unwrap().unwrap();
        if !stalls {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(LockError::Lost)));
        assert!(body.frame().await.is_none() && body.is_end_stream());
    }
}

/// An HTTP/2 client counts an announced length too: it has its whole answer with the last byte.
#[tokio::test]
async fn an_announced_length_is_the_end_over_http2() {
    let provider = InMemoryLockProvider::new();
    let mut body = Some(script([data("a"), data("b")], false));
    let inner = service_fn(move |_: Request<()>| {
        let mut response = Response::new(body.take().unwrap());
        response.headers_mut().insert(http::header::CONTENT_LENGTH, 2.into());
        async move { Ok::<_, Infallible>(response) }
    });
    let inner = OnceClone(Arc::new(Mutex::new(inner)));
    let mut request = Request::new(());
    *request.version_mut() = Version::HTTP_2;
    let layer = HttpLockLayer::new(provider.clone(), key::constant(NAME));
    let mut body = layer.layer(inner).oneshot(request).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert!(!is_free(&provider, NAME).await, "one byte is to come");
    body.frame().await.unwrap().unwrap();
    assert!(is_free(&provider, NAME).await, "the answer is whole");
}
