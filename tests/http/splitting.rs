//! No byte of a request is in a header of its refusal, so a client cannot add headers.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{HeaderValue, Version};
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, key};

use crate::support::{hold, serve};

/// A header's value may have any of these bytes, and a path any of them percent-encoded.
const MARKS: [&str; 6] =
    ["marked", "marked\tby tab", "marked: x", "marked; a=\"b\", c", "marked%0d%0aset-cookie: a", "marked \u{fc}"];

#[tokio::test]
async fn a_refusal_has_no_bytes_of_the_request_in_its_headers() {
    let provider = InMemoryLockProvider::new();
    let by_header = HttpLockLayer::new(provider.clone(), key::header("x-name")).wait(Duration::ZERO);
    let by_path = HttpLockLayer::new(provider.clone(), key::path_param("name")).wait(Duration::ZERO);
    let app = Router::new()
        .route("/header", get(|| async { "done" }).layer(by_header))
        .route("/path/{name}", get(|| async { "done" }).layer(by_path));
    let server = serve(app).await;
    for mark in MARKS {
        // An invalid name is refused as well, and the detail may say so.
        let held = !mark.contains('\t');
        let _held = if held { Some(hold(&provider, mark).await) } else { None };
        // The escaped bytes of the path are a line end and another header.
        let encoded = mark.replace('%', "%25").replace(['\t', ' ', '"', '\u{fc}'], "%20") + "%0d%0ax-marked:%201";
        let requests = [
            server.request("GET", "/header").header("x-name", HeaderValue::from_bytes(mark.as_bytes()).unwrap()),
            server.request("GET", "/header").header("x-name", HeaderValue::from_bytes(b"marked\xff").unwrap()),
            server.request("GET", &format!("/path/{encoded}")),
            server.request("GET", "/header").header("x-other", mark.split('\t').next().unwrap()),
        ];
        for request in requests {
            for (version, grpc) in [(Version::HTTP_11, false), (Version::HTTP_2, false), (Version::HTTP_2, true)] {
                let (name, value) =
                    if grpc { ("content-type", "application/grpc+marked; marked") } else { ("accept", "*/*") };
                let parts = request.headers_ref().unwrap().clone();
                let mut again = http::Request::builder().uri(request.uri_ref().unwrap()).header(name, value);
                again.headers_mut().unwrap().extend(parts);
                let answer = server.send(version, again.body(Body::empty()).unwrap()).await;
                assert!(!answer.body.contains("done"), "{answer:?}");
                for (name, value) in &answer.headers {
                    let value = String::from_utf8_lossy(value.as_bytes()).to_lowercase();
                    assert!(!value.contains("marked") && !name.as_str().contains("marked"), "{name}: {value}");
                }
            }
        }
    }
}
