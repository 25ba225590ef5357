//! Several locks for one request, and the modes of the layer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{any, post};
use http::{Extensions, StatusCode, Version};
use orchestrix_locking::provider::{Acquiring, LockBackend};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, HttpKey, HttpLockLayer, InMemoryLockProvider, LockError, LockHandle,
    LockMode, LockOptions, LockRequest, LockSetHandle, Resource, key,
};
use tokio::sync::Semaphore;

use crate::support::{Answer, Server, hold, is_free, serve};

const ZERO: Duration = Duration::ZERO;

/// The names of the locks, the first of them, and how many handles are held.
async fn told(first: LockHandle, all: LockSetHandle, extensions: Extensions) -> String {
    assert_eq!(first.fencing_token(), all.handles()[0].fencing_token());
    assert_eq!(LockSetHandle::of_request(&extensions).map(|set| set.handles().len()), Some(all.handles().len()));
    assert!(all.is_held());
    let names: Vec<_> = all.handles().iter().map(|handle| handle.resource().as_str()).collect();
    names.join(" ")
}

async fn server<K: HttpKey<Body> + Send + Sync + 'static>(layer: HttpLockLayer<K>) -> Server {
    serve(Router::new().route("/", any(told)).layer(layer)).await
}

async fn send(server: &Server, version: Version, method: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = server.request(method, "/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server.send(version, request.body(Body::empty()).unwrap()).await
}

fn accounts() -> key::Keys {
    key::all([key::header("x-from"), key::header("x-to")].map(|key| key.prefixed("account")))
}

#[tokio::test]
async fn a_request_runs_under_all_locks_of_its_keys() {
    let provider = InMemoryLockProvider::new();
    let server = server(HttpLockLayer::new(provider.clone(), accounts()).wait(ZERO)).await;
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let answer = send(&server, version, "POST", &[("x-from", "7"), ("x-to", "3")]).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "account:3 account:7"));
        assert!(provider.is_empty(), "all are free when the client has its answer");
        let answer = send(&server, version, "POST", &[("x-from", "7"), ("x-to", "7")]).await;
        assert_eq!(answer.body, "account:7");
        let answer = send(&server, version, "POST", &[("x-from", "7")]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let held = hold(&provider, "account:7").await;
        let answer = send(&server, version, "POST", &[("x-from", "3"), ("x-to", "7")]).await;
        assert_eq!(
            (answer.status, answer.json()["type"].as_str()),
            (StatusCode::CONFLICT, Some("urn:orchestrix:locking:held"))
        );
        assert!(is_free(&provider, "account:3").await);
        drop(held);
    }
}

#[tokio::test]
async fn a_closure_may_return_lists_requests_and_what_contains_them() {
    type Request = http::Request<Body>;
    async fn names<K: HttpKey<Body> + Send + Sync + 'static>(key: K) -> String {
        let answer = server(HttpLockLayer::new(InMemoryLockProvider::new(), key).wait(ZERO)).await.get("/").await;
        if answer.status.is_success() { answer.body } else { answer.status.as_u16().to_string() }
    }
    let request = |name: &str| LockRequest::try_from(name).unwrap();
    assert_eq!(names(|_: &Request| ["b", "a"]).await, "a b");
    assert_eq!(names(|_: &Request| vec![String::from("b"), String::from("a"), String::from("b")]).await, "a b");
    assert_eq!(names(move |_: &Request| request("a")).await, "a");
    assert_eq!(names(move |_: &Request| [request("c"), request("a")]).await, "a c");
    assert_eq!(names(|_: &Request| Some(vec![Some("a"), None, Some("b")])).await, "a b");
    assert_eq!(names(|_: &Request| Ok::<_, LockError>([Resource::try_from("a")])).await, "a");
    assert_eq!(names(|_: &Request| [Ok("a"), Err("no second account")]).await, "400");
    // An empty list needs no lock, so that the extractor is refused.
    assert_eq!(names(|_: &Request| Vec::<String>::new()).await, "500");
    assert_eq!(names(|_: &Request| (0..65).map(|n| n.to_string()).collect::<Vec<_>>()).await, "400");
    let too_long = LockOptions::default().ttl(Duration::MAX);
    assert_eq!(names(move |_: &Request| [request("a"), request("b").options(too_long)]).await, "500");
}

#[tokio::test]
async fn a_request_without_a_lock_has_no_handles() {
    let layer = HttpLockLayer::new(InMemoryLockProvider::new(), |_: &http::Request<Body>| Vec::<String>::new());
    let handler =
        async |one: Option<LockHandle>, all: Option<LockSetHandle>| format!("{}", one.is_none() && all.is_none());
    let server = serve(Router::new().route("/", any(handler)).layer(layer)).await;
    assert_eq!(server.get("/").await.body, "true");
}

#[tokio::test]
async fn a_set_that_holds_a_lock_of_a_layer_outside_is_refused() {
    let provider = InMemoryLockProvider::new();
    let sets = |names: [&'static str; 2]| {
        HttpLockLayer::new(provider.clone(), move |_: &http::Request<Body>| names).wait(Duration::from_secs(600))
    };
    let through = async |outer: [&'static str; 2], inner: [&'static str; 2]| {
        let router = Router::new().route("/", any(told)).layer(sets(inner)).layer(sets(outer));
        serve(router).await.get("/").await
    };
    for (outer, inner) in [(["a", "b"], ["b", "c"]), (["a", "b"], ["0", "a"]), (["a", "a"], ["c", "a"])] {
        let answer = through(outer, inner).await;
        assert_eq!(answer.json()["type"], "urn:orchestrix:locking:already-held", "{outer:?} {inner:?}");
    }
    assert_eq!(through(["a", "b"], ["c", "d"]).await.body, "c d", "the handles are those of the inner layer");
    assert_eq!(through(["a", "b"], ["c", "c"]).await.body, "c");
    assert!(provider.is_empty());
}

/// A loss of any of the locks ends the handler.
#[tokio::test]
async fn the_first_loss_ends_the_handler_and_frees_the_others() {
    let provider = InMemoryLockProvider::new();
    let short = LockOptions::default().ttl(Duration::from_millis(50)).auto_renew(false);
    let key = move |_: &http::Request<Body>| {
        ["a", "b", "c"].map(|name| {
            let request = LockRequest::try_from(name).unwrap();
            if name == "b" { request.options(short) } else { request }
        })
    };
    let handler = async || std::future::pending::<()>().await;
    let layer = HttpLockLayer::new(provider.clone(), key);
    let server = serve(Router::new().route("/", any(handler)).layer(layer)).await;
    let answer = server.get("/").await;
    assert_eq!(
        (answer.status, answer.json()["type"].as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, Some("urn:orchestrix:locking:lost"))
    );
    assert!(provider.is_empty());
}

/// Has every mode, and keeps what it was asked for. `grants` says whether locks are free.
#[derive(Debug, Clone)]
struct Modes {
    asked: Arc<Mutex<Vec<LockMode>>>,
    grants: bool,
    locks: InMemoryLockProvider,
}

impl Modes {
    fn new(grants: bool) -> Self {
        Self { asked: Arc::default(), grants, locks: InMemoryLockProvider::new() }
    }

    fn take(&self) -> Vec<String> {
        self.asked.lock().unwrap().drain(..).map(|mode| mode.to_string()).collect()
    }
}

impl DistributedLockProvider for Modes {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        DistributedLock::new(resource, options, Arc::new(self.clone()))
    }
}

impl LockBackend for Modes {
    fn acquire(self: Arc<Self>, request: LockRequest) -> Acquiring {
        let options = *request.configured_options();
        self.asked.lock().unwrap().push(options.configured_mode());
        if !self.grants {
            return Acquiring::ready(Ok(None));
        }
        let lock = self.locks.create_lock(request.into_resource(), options.mode(LockMode::Exclusive));
        Acquiring::pending(async move { Ok(lock?.try_acquire(ZERO).await?.map(Into::into)) })
    }

    fn supports(&self, options: &LockOptions) -> bool {
        options.configured_at_least().is_zero()
    }
}

#[tokio::test]
async fn the_mode_is_that_of_the_layer_the_method_or_the_request() {
    let modes = Modes::new(true);
    let layer = || HttpLockLayer::new(modes.clone(), key::constant("a"));
    for (layer, expected) in [
        (layer(), "exclusive"),
        (layer().shared(), "shared"),
        (layer().permits(3), "permits(3)"),
        (layer().mode(LockMode::permits(2)), "permits(2)"),
        (layer().shared_for_safe_methods().permits(4), "permits(4)"),
    ] {
        assert_eq!(server(layer).await.get("/").await.status, StatusCode::OK);
        assert_eq!(modes.take(), [expected]);
    }
    let by_method = server(layer().permits(4).shared_for_safe_methods()).await;
    for (method, expected) in [
        ("GET", "shared"),
        ("HEAD", "shared"),
        ("OPTIONS", "shared"),
        ("TRACE", "shared"),
        ("POST", "exclusive"),
        ("PUT", "exclusive"),
        ("DELETE", "exclusive"),
        ("PATCH", "exclusive"),
        ("QUERY", "exclusive"),
    ] {
        assert_eq!(send(&by_method, Version::HTTP_11, method, &[]).await.status, StatusCode::OK, "{method}");
        assert_eq!(modes.take(), [expected], "{method}");
    }
    let own = |_: &http::Request<Body>| {
        let request = |name: &str| LockRequest::try_from(name).unwrap();
        [request("a").mode(LockMode::permits(2)), request("b"), request("c").options(LockOptions::default())]
    };
    let layer = HttpLockLayer::new(modes.clone(), own).shared();
    assert_eq!(server(layer).await.get("/").await.status, StatusCode::OK);
    assert_eq!(modes.take(), ["permits(2)", "shared", "exclusive"]);
}

/// A limit that is reached is 429, whether or not the layer waits; a mode that the provider lacks is a mistake.
#[tokio::test]
async fn taken_permits_are_too_many_requests() {
    let modes = Modes::new(false);
    for wait in [ZERO, Duration::from_millis(1)] {
        let layer = || HttpLockLayer::new(modes.clone(), key::constant("a")).wait(wait);
        let in_set =
            |_: &http::Request<Body>| [LockRequest::try_from("a").unwrap(), LockRequest::try_from("b").unwrap()];
        let set = HttpLockLayer::new(modes.clone(), in_set).permits(8).wait(wait);
        for answer in [server(layer().permits(8)).await.get("/").await, server(set).await.get("/").await] {
            assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
            assert_eq!(answer.json()["type"], "urn:orchestrix:locking:permits");
        }
        let answer = server(layer().shared()).await.get("/").await;
        assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "a reader that waits for a writer is no limit");

        let router = Router::new().route("/", post(async || "")).layer(layer().permits(8));
        let answer = send(&serve(router).await, Version::HTTP_2, "POST", &[("content-type", "application/grpc")]).await;
        assert_eq!((answer.status, answer.header("grpc-status")), (StatusCode::OK, Some("8")));
    }
    let wrong = server(HttpLockLayer::new(modes, key::constant("a")).permits(0)).await.get("/").await;
    assert_eq!(wrong.status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// A limit for each tenant on the wire: as many run at once as there are permits, and each has a number of its own.
#[tokio::test]
async fn a_tenant_has_as_many_requests_at_once_as_permits() {
    let provider = InMemoryLockProvider::new();
    let layer = HttpLockLayer::new(provider.clone(), key::header("x-tenant").prefixed("tenant")).permits(2).wait(ZERO);
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begun_in, gate_in) = (Arc::clone(&begun), Arc::clone(&gate));
    let handler = async move |lock: LockHandle| {
        begun_in.add_permits(1);
        gate_in.acquire().await.unwrap().forget();
        lock.permit().map(|number| number.to_string()).unwrap_or_default()
    };
    let server = Arc::new(serve(Router::new().route("/", any(handler)).layer(layer)).await);
    let running: Vec<_> = ["shop", "shop", "bakery"]
        .map(|tenant| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { send(&server, Version::HTTP_11, "POST", &[("x-tenant", tenant)]).await.body })
        })
        .into();
    begun.acquire_many(3).await.unwrap().forget();
    let refused = send(&server, Version::HTTP_2, "POST", &[("x-tenant", "shop")]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    gate.add_permits(4);
    let mut numbers = Vec::new();
    for request in running {
        numbers.push(request.await.unwrap());
    }
    numbers.sort();
    assert_eq!(numbers, ["0", "0", "1"]);
    assert_eq!(send(&server, Version::HTTP_2, "POST", &[("x-tenant", "shop")]).await.status, StatusCode::OK);
    assert!(provider.is_empty());
}

/// Readers run beside each other and keep a writer out, who is refused for a held lock and not for a limit.
#[tokio::test]
async fn safe_methods_share_and_others_exclude() {
    let provider = InMemoryLockProvider::new();
    let layer = HttpLockLayer::new(provider.clone(), key::path()).shared_for_safe_methods().wait(ZERO);
    let (begun, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (begun_in, gate_in) = (Arc::clone(&begun), Arc::clone(&gate));
    let handler = async move || {
        begun_in.add_permits(1);
        gate_in.acquire().await.unwrap().forget();
    };
    let server = Arc::new(serve(Router::new().route("/", any(handler)).layer(layer)).await);
    let readers = [(); 2].map(|()| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { server.get("/").await.status })
    });
    begun.acquire_many(2).await.unwrap().forget();
    assert_eq!(send(&server, Version::HTTP_11, "PUT", &[]).await.status, StatusCode::CONFLICT);
    gate.add_permits(3);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(send(&server, Version::HTTP_11, "PUT", &[]).await.status, StatusCode::OK);
    assert!(provider.is_empty());
}

/// A list of the client's that is too long is the client's mistake.
#[tokio::test]
async fn more_names_than_a_set_has_are_a_bad_request() {
    let names = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
    let of_header = |request: &http::Request<Body>| {
        let ids = request.headers().get("x-ids").and_then(|ids| ids.to_str().ok()).unwrap_or_default();
        ids.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let server = server(HttpLockLayer::new(InMemoryLockProvider::new(), of_header).wait(ZERO)).await;
    for (count, status) in [(64, StatusCode::OK), (65, StatusCode::BAD_REQUEST)] {
        let answer = send(&server, Version::HTTP_11, "POST", &[("x-ids", names(count).as_str())]).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
}
