//! What the HTTP examples share: a server on a free port of this machine, and a client for it.
#![allow(dead_code, reason = "not every example needs all of it")]

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header::HeaderMap};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use orchestrix_locking::BoxError;
use tokio::net::TcpListener;

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    client: HyperClient<HttpConnector, Body>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Serves until the program ends.
pub(crate) async fn serve(router: Router) -> Result<Client, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(Client::of(address))
}

impl Client {
    /// A client of a server that is there already.
    pub(crate) fn of(address: SocketAddr) -> Self {
        Self { address, client: HyperClient::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request, and gives its answer back with the body yet to be read.
    pub(crate) async fn start(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Response<Incoming>, BoxError> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(self.client.request(request.body(Body::from(body.to_owned()))?).await?)
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, BoxError> {
        let (head, body) = self.start(method, path, headers, body).await?.into_parts();
        let body = String::from_utf8(body.collect().await?.to_bytes().into())?;
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Answer {
    /// The header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Ends the example with an error if what it shows is not so.
pub(crate) fn ensure(holds: bool, what: &str) -> Result<(), BoxError> {
    if holds { Ok(()) } else { Err(format!("this does not hold: {what}").into()) }
}
