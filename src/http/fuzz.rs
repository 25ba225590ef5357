//! Fuzzed headers and paths. See `crate::fuzz`.
#![allow(clippy::panic, clippy::unwrap_used, clippy::missing_panics_doc)]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use ::http::{HeaderMap, HeaderValue, Request, Uri};
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use tonic::metadata::{Binary, MetadataValue};
use tower_service::Service;

use super::grpc_timeout::grpc_timeout;
use super::key::{self, HttpKey, Key};
use crate::{LockError, Resource};

/// A header's value is a valid name, or the client is refused. The same for metadata, paths and path parameters.
pub fn header(data: &[u8]) {
    timeout(data);
    path(data);
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut request = Request::new(());
    request.headers_mut().insert("x-key", value.clone());
    request.headers_mut().insert("x-key-bin", value.clone());
    let text = std::str::from_utf8(data).ok().filter(|text| !text.is_empty());
    let plain = text.and_then(|text| Resource::try_from(text).ok());
    let prefixed = text.and_then(|text| Resource::from_parts(["p", text]).ok());
    for key in [key::header("x-key"), key::metadata("x-key"), key::parts([key::header("x-key")])] {
        let expected = match (format!("{key:?}").starts_with("Key { source: Parts"), text) {
            (true, Some(text)) => Resource::from_parts([text]).ok(),
            _ => plain.clone(),
        };
        assert_eq!(name(&key, &mut request), expected, "{key:?}");
    }
    assert_eq!(name(&key::header("x-key").prefixed("p"), &mut request), prefixed);
    name(&key::metadata("x-key-bin"), &mut request);
    name(&key::parts([key::metadata("x-key-bin"), key::path(), key::method_and_path()]), &mut request);
    // Encoding and decoding give the value back.
    let encoded = MetadataValue::<Binary>::from_bytes(data);
    request.headers_mut().insert("x-key-bin", HeaderValue::from_bytes(encoded.as_encoded_bytes()).unwrap());
    assert_eq!(name(&key::metadata("x-key-bin"), &mut request), plain);
    request.headers_mut().append("x-key", value);
    assert_eq!(name(&key::header("x-key"), &mut request), None, "two values are none");
}

/// The name that a key reads, or `None` if the client is refused.
fn name<B>(key: &Key, request: &mut Request<B>) -> Option<Resource> {
    match key.resource(request) {
        Ok(resource) => Some(resource.unwrap()),
        Err(LockError::InvalidResource { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// A time-out is accepted exactly if it has gRPC's form: one to eight digits and a unit.
fn timeout(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let read = grpc_timeout(&HeaderMap::from_iter([(::http::HeaderName::from_static("grpc-timeout"), value)]));
    let well_formed = matches!(data, [digits @ .., b'H' | b'M' | b'S' | b'm' | b'u' | b'n']
        if (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit));
    assert_eq!(read.is_some(), well_formed, "{data:?}");
}

/// A path is the key as the client wrote it, also after routing. Its parameters are decoded.
fn path(data: &[u8]) {
    let Ok(uri) = Uri::try_from([b"/a/", data].concat()) else { return };
    let mut request = Request::builder().uri(uri.clone()).body(()).unwrap();
    assert_eq!(name(&key::path(), &mut request), Resource::try_from(uri.path()).ok());
    name(&key::method_and_path(), &mut request);
    let read_keys = |mut request: Request<Body>| async move {
        name(&key::path_param("first"), &mut request);
        name(&key::path_param("rest"), &mut request);
        name(&key::parts([key::path(), key::path_param("first")]), &mut request);
        assert_eq!(name(&key::path_param("none"), &mut request), None);
    };
    let mut router =
        Router::new().route("/a/{first}", any(read_keys)).route("/a/{first}/{*rest}", any(read_keys)).into_service();
    let request = Request::builder().uri(uri).body(Body::empty()).unwrap();
    let answer = pin!(Service::<Request<Body>>::call(&mut router, request));
    assert!(
        matches!(answer.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_)),
        "the router answers without waiting"
    );
}
