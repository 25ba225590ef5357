//! Handlers that take locks themselves answer as the layer does.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use http::{Request, Response, StatusCode, Version};
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockError, LockOptions, Locking, Refusal, key,
};
use tonic::server::NamedService;
use tonic::{Code, Status};
use tower::{Layer, Service};

use crate::support::{Answer, Failing, hold, serve};

const NAME: &str = "the-lock";

/// One error of each kind, and the two kinds of [`LockError::Busy`].
fn errors() -> Vec<LockError> {
    vec![
        LockError::TooManyWaiters,
        LockError::TooManyWaitersInTotal,
        LockError::invalid_resource("10.0.0.7 is not for clients"),
        LockError::from(key::KeyError::EmptyExtension),
        LockError::from(key::KeyError::NoParts),
        LockError::invalid_options("ttl", "0ns", "10ms to 24h"),
        LockError::unavailable("10.0.0.7:6379 refused"),
        LockError::backend("10.0.0.7:6379 is out of memory"),
        LockError::Lost,
        LockError::Closed,
        LockError::AlreadyHeld,
        LockError::NoRuntime,
    ]
}

/// Requests that the layer refuses with this error, and ones whose handler returns it.
async fn both(error: LockError) -> [Answer; 2] {
    let layer = HttpLockLayer::new(Failing(error.clone()), key::constant(NAME));
    let handler = get(async || Err::<String, _>(error));
    let router = Router::new()
        .route("/layer", get(async || "done").layer(layer))
        .route("/handler", handler)
        .route("/test.Failing/Say", axum::routing::post(async || "not a gRPC service"));
    let server = serve(router).await;
    [server.get("/layer").await, server.get("/handler").await]
}

/// Removes what only the layer's answer says: that the request was not begun.
fn without_claim(text: &str) -> String {
    text.replace("the request was not begun; ", "").replace("the request was not begun", "the request was refused")
}

fn assert_same(by_layer: &Answer, by_handler: &Answer) {
    assert_eq!(by_handler.status, by_layer.status, "{by_handler:?}");
    let problem = |answer: &Answer| {
        (!answer.body.is_empty()).then(|| {
            let mut json = answer.json();
            json["detail"] = without_claim(json["detail"].as_str().unwrap()).into();
            json
        })
    };
    assert_eq!(problem(by_handler), problem(by_layer));
    assert!(!format!("{by_handler:?}").contains("not begun"), "the handler may have begun: {by_handler:?}");
    for name in ["content-type", "retry-after", "grpc-status"] {
        assert_eq!(by_handler.header(name), by_layer.header(name), "{name} of {by_handler:?}");
    }
    // tonic escapes spaces too.
    let message =
        |answer: &Answer| answer.header("grpc-message").map(|message| without_claim(&message.replace("%20", " ")));
    assert_eq!(message(by_handler), message(by_layer));
}

#[tokio::test]
async fn an_axum_handler_answers_a_lock_error_as_the_layer_does() {
    for error in errors() {
        let [by_layer, by_handler] = both(error).await;
        assert!(by_layer.status.is_client_error() || by_layer.status.is_server_error());
        assert_eq!(by_layer.header("content-type"), Some("application/problem+json"));
        assert_same(&by_layer, &by_handler);
    }
}

#[tokio::test]
async fn an_axum_handler_that_finds_the_lock_held_answers_as_the_layer_does() {
    let provider = InMemoryLockProvider::new();
    let locking = Locking::builder().add_default_provider(provider.clone()).build().unwrap();
    let _guard = hold(&provider, NAME).await;
    for (wait, status) in [(Duration::ZERO, 409), (Duration::from_millis(20), 503)] {
        let handler = async move |State(locking): State<Locking>| -> Result<String, LockError> {
            let guard = locking.lock(NAME)?.acquire_within(wait).await?;
            Ok(guard.fencing_token().to_string())
        };
        let layer = locking.http_layer(key::constant(NAME)).wait(wait);
        let router = Router::new()
            .route("/layer", get(async || "done").layer(layer))
            .route("/handler", get(handler))
            .with_state(locking.clone());
        let server = serve(router).await;
        let (by_layer, by_handler) = (server.get("/layer").await, server.get("/handler").await);
        assert_eq!(by_handler.status, status);
        assert_same(&by_layer, &by_handler);
    }
}

/// A tonic service whose method fails with this error.
#[derive(Clone)]
struct Method(Arc<dyn Fn() -> Result<tonic::Response<String>, Status> + Send + Sync>);

impl NamedService for Method {
    const NAME: &'static str = "test.Failing";
}

impl Service<Request<tonic::body::Body>> for Method {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        std::future::ready(Ok((self.0)().unwrap_err().into_http()))
    }
}

async fn call(router: Router) -> Answer {
    let server = serve(router).await;
    let request = server.request("POST", "/test.Failing/Say").header("content-type", "application/grpc");
    server.send(Version::HTTP_2, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_grpc_method_answers_a_lock_error_as_the_layer_does() {
    let mut errors = errors();
    errors.push(LockError::Busy { waited: Duration::from_secs(2) });
    for error in errors {
        let fails = error.clone();
        // What `?` does in a method.
        let method = Method(Arc::new(move || Err(fails.clone())?));
        let layer = HttpLockLayer::new(Failing(error), key::constant(NAME));
        let by_layer = call(tonic::service::Routes::new(layer.layer(method.clone())).into_axum_router()).await;
        let by_method = call(tonic::service::Routes::new(method).into_axum_router()).await;
        assert_eq!(by_layer.status, StatusCode::OK);
        assert!(by_layer.header("grpc-status").is_some_and(|code| code != "0"));
        assert_same(&by_layer, &by_method);
    }
}

#[test]
fn a_status_keeps_the_error_as_its_source() {
    let status = Status::from(LockError::Busy { waited: Duration::ZERO });
    assert_eq!(status.code(), Code::Aborted);
    let source = std::error::Error::source(&status).and_then(|source| source.downcast_ref::<LockError>());
    assert!(matches!(source, Some(LockError::Busy { .. })));
    assert_eq!(Status::from(LockError::Busy { waited: Duration::from_secs(1) }).code(), Code::Unavailable);
    let refusal = Refusal::from(LockError::TooManyWaiters);
    assert_eq!(Status::from(refusal).code(), Code::ResourceExhausted);
}

/// Also with a backend that answers after a while: the wait of zero decides, not the time that passed.
#[tokio::test]
async fn a_caller_who_does_not_wait_is_told_that_it_did_not() {
    for error in [InMemoryLockProvider::new().busy_within(Duration::ZERO).await, Slow.busy_within(Duration::ZERO).await]
    {
        let LockError::Busy { waited } = error else { panic!("{error}") };
        assert_eq!(waited, Duration::ZERO);
        assert_eq!(Refusal::from(error).status(), StatusCode::CONFLICT);
    }
    for error in [
        InMemoryLockProvider::new().busy_within(Duration::from_millis(5)).await,
        Slow.busy_within(Duration::from_millis(5)).await,
    ] {
        let LockError::Busy { waited } = error else { panic!("{error}") };
        assert!(waited > Duration::ZERO);
        assert_eq!(Refusal::from(error).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// The errors of the lock and of a layer for a held lock of this provider, which must be alike.
trait BusyWithin: DistributedLockProvider + Clone {
    async fn busy_within(&self, wait: Duration) -> LockError {
        use tower::ServiceExt;
        let lock = self.create_lock(NAME.try_into().unwrap(), LockOptions::default()).unwrap();
        let held = lock.try_acquire(Duration::ZERO).await.unwrap();
        let error = lock.acquire_within(wait).await.unwrap_err();
        let layer = orchestrix_locking::LockLayer::new(self.clone(), |(): &()| NAME).wait(wait);
        let refused = layer.layer(tower::service_fn(|()| async { Ok::<_, Infallible>(()) })).oneshot(()).await;
        let by_layer = *refused.unwrap_err().downcast::<LockError>().unwrap();
        assert_eq!(Refusal::from(by_layer).status(), Refusal::from(error.clone()).status());
        drop(held);
        error
    }
}

impl BusyWithin for InMemoryLockProvider {}
impl BusyWithin for Slow {}

/// Answers after a while that the lock is held.
#[derive(Debug, Clone, Copy)]
struct Slow;

impl DistributedLockProvider for Slow {
    fn create_lock(
        &self,
        resource: orchestrix_locking::Resource,
        options: LockOptions,
    ) -> Result<orchestrix_locking::DistributedLock, LockError> {
        orchestrix_locking::DistributedLock::new(resource, options, Arc::new(Self))
    }
}

impl orchestrix_locking::provider::LockBackend for Slow {
    fn acquire(self: Arc<Self>, _: orchestrix_locking::LockRequest) -> orchestrix_locking::provider::Acquiring {
        orchestrix_locking::provider::Acquiring::pending(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(None)
        })
    }
}
