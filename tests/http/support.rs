//! A server, a client, and providers that fail in chosen ways.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use orchestrix_locking::provider::{Acquiring, LockBackend, LockRequest};
use orchestrix_locking::{
    DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockError, LockGuard, LockOptions, Resource,
};
use tokio::net::TcpListener;

/// Longer than every step here, so that a test that hangs fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    address: std::net::SocketAddr,
    http1: Client<HttpConnector, Body>,
    http2: Client<HttpConnector, Body>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// The server runs until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    Server {
        address,
        http1: Client::builder(TokioExecutor::new()).build_http(),
        http2: Client::builder(TokioExecutor::new()).http2_only(true).build_http(),
    }
}

impl Server {
    pub(crate) fn request(&self, method: &str, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{path}", self.address))
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub(crate) async fn start(&self, version: Version, request: Request<Body>) -> http::Response<Incoming> {
        let client = if version == Version::HTTP_2 { &self.http2 } else { &self.http1 };
        tokio::time::timeout(LIMIT, client.request(request)).await.expect("the answer takes too long").unwrap()
    }

    pub(crate) async fn send(&self, version: Version, request: Request<Body>) -> Answer {
        let (parts, body) = self.start(version, request).await.into_parts();
        let body = tokio::time::timeout(LIMIT, body.collect()).await.expect("the body takes too long").unwrap();
        let body = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Version::HTTP_11, self.request("GET", path).body(Body::empty()).unwrap()).await
    }
}

/// The lock that the tests' requests need.
pub(crate) async fn hold(provider: &InMemoryLockProvider, name: &str) -> LockGuard {
    let lock = provider.create_lock(name.try_into().unwrap(), LockOptions::default()).unwrap();
    lock.try_acquire(Duration::ZERO).await.unwrap().expect("the lock is free")
}

pub(crate) async fn is_free(provider: &InMemoryLockProvider, name: &str) -> bool {
    let lock = provider.create_lock(name.try_into().unwrap(), LockOptions::default()).unwrap();
    lock.try_acquire(Duration::ZERO).await.unwrap().is_some()
}

/// Waits in the queue for the lock, and so notices when it is freed.
pub(crate) async fn becomes_free(provider: &InMemoryLockProvider, name: &str) {
    let lock = provider.create_lock(name.try_into().unwrap(), LockOptions::default()).unwrap();
    let guard = lock.try_acquire(LIMIT).await.unwrap();
    assert!(guard.is_some(), "the lock stays held");
}

/// A provider whose every acquire ends with one error.
#[derive(Debug)]
pub(crate) struct Failing(pub(crate) LockError);

impl DistributedLockProvider for Failing {
    fn create_lock(&self, resource: Resource, options: LockOptions) -> Result<DistributedLock, LockError> {
        DistributedLock::new(resource, options, Arc::new(Failing(self.0.clone())))
    }
}

impl LockBackend for Failing {
    fn acquire(self: Arc<Self>, _: LockRequest) -> Acquiring {
        Acquiring::ready(Err(self.0.clone()))
    }
}
