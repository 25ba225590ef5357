//! The target of a request gives the same name over HTTP/1 and HTTP/2.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use http::{Method, Request, Version};
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockHandle, key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{LIMIT, serve};

/// Answers with the name of the lock. A status that upgrades nothing, since some requests here are a CONNECT.
async fn names(key: key::Key) -> SocketAddr {
    let handler = any(|lock: LockHandle| async move { (http::StatusCode::IM_A_TEAPOT, lock.resource().to_string()) });
    let nested = Router::new().route("/inside", handler.clone());
    let layer = HttpLockLayer::new(InMemoryLockProvider::new(), key);
    let router = Router::new().nest("/nested", nested).fallback_service(handler).layer(layer);
    serve(router).await.address()
}

/// The name, or the `detail` of the refusal.
fn told(status: u16, body: String) -> Result<String, String> {
    if status == 418 {
        return Ok(body);
    }
    assert_eq!(status, 400, "{body}");
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    Err(problem["detail"].as_str().unwrap().to_owned())
}

async fn over_http1(address: SocketAddr, line: &str, headers: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{line} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    told(head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

async fn over_http2(address: SocketAddr, request: http::request::Builder) -> Result<String, String> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let request = request.version(Version::HTTP_2).body(()).unwrap();
    let (answer, _): (_, h2::SendStream<Bytes>) = sender.send_request(request, true).unwrap();
    let (head, mut body) = tokio::time::timeout(LIMIT, answer).await.unwrap().unwrap().into_parts();
    let mut text = Vec::new();
    while let Some(data) = body.data().await {
        text.extend_from_slice(&data.unwrap());
    }
    told(head.status.as_u16(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn the_host_is_one_name_over_all_versions() {
    let address = names(key::header("Host").prefixed("site")).await;
    let name = Ok("site:example.com".to_owned());
    assert_eq!(over_http1(address, "GET /a", "host: example.com\r\n").await, name);
    assert_eq!(over_http1(address, "GET /a", "host: Example.COM\r\n").await, name);
    assert_eq!(over_http1(address, "GET http://example.com/a", "host: example.com\r\n").await, name);
    assert_eq!(over_http1(address, "GET http://me:secret@Example.com/nested/inside", "").await, name);
    assert_eq!(over_http2(address, Request::get("http://example.com/a")).await, name);
    assert_eq!(over_http2(address, Request::get("https://EXAMPLE.com/nested/inside")).await, name);
    assert_eq!(over_http2(address, Request::get("http://example.com/").header("host", "example.com")).await, name);
}

#[tokio::test]
async fn the_port_is_part_of_the_host_as_the_client_wrote_it() {
    let address = names(key::header("host")).await;
    for authority in ["example.com:8080", "[::1]:8080", "example.com:443"] {
        let name = Ok(authority.to_owned());
        assert_eq!(over_http1(address, "GET /", &format!("host: {authority}\r\n")).await, name);
        let same = format!("host: {authority}\r\n");
        assert_eq!(over_http1(address, &format!("GET http://{authority}/"), &same).await, name);
        assert_eq!(over_http2(address, Request::get(format!("http://{authority}/"))).await, name);
    }
}

#[tokio::test]
async fn a_request_of_two_hosts_or_of_none_is_400() {
    let address = names(key::header("host")).await;
    let two = Err("the request has the header `host` more than once".to_owned());
    assert_eq!(over_http1(address, "GET /", "host: a\r\nhost: b\r\n").await, two);
    assert_eq!(over_http1(address, "GET http://a/", "host: a\r\nhost: b\r\n").await, two);
    // The handler might read the other one, over either version.
    assert_eq!(over_http1(address, "GET http://a/", "host: b\r\n").await, two);
    assert_eq!(over_http2(address, Request::get("http://a/").header("host", "b")).await, two);
    assert_eq!(over_http2(address, Request::get("http://a/").header("host", "a").header("host", "b")).await, two);
    assert_eq!(over_http1(address, "GET /", "").await, Err("the request has no header `host`".to_owned()));
    assert_eq!(over_http1(address, "GET /", "host:\r\n").await, Err("the header `host` is empty".to_owned()));
}

#[tokio::test]
async fn a_path_is_one_name_over_all_versions_and_forms() {
    let address = names(key::path()).await;
    for (path, name) in [("/a%62?q", "/a%62"), ("/nested/inside", "/nested/inside"), ("/", "/")] {
        let name = Ok(name.to_owned());
        assert_eq!(over_http1(address, &format!("GET {path}"), "host: a\r\n").await, name);
        assert_eq!(over_http1(address, &format!("GET http://a{path}"), "host: a\r\n").await, name);
        assert_eq!(over_http2(address, Request::get(format!("http://a{path}"))).await, name);
    }
    assert_eq!(over_http1(address, "GET http://a", "host: a\r\n").await, Ok("/".to_owned()));
    assert_eq!(over_http1(address, "OPTIONS *", "host: a\r\n").await, Ok("*".to_owned()));
}

#[tokio::test]
async fn a_connect_is_named_after_its_target() {
    for (key, name) in [
        (key::path(), "example.com:443"),
        (key::method_and_path(), "CONNECT example.com:443"),
        (key::header("host"), "example.com:443"),
    ] {
        let address = names(key).await;
        let name = Ok(name.to_owned());
        assert_eq!(over_http1(address, "CONNECT Example.com:443", "host: Example.com:443\r\n").await, name);
        let connect = || Request::builder().method(Method::CONNECT);
        assert_eq!(over_http2(address, connect().uri("example.com:443")).await, name);
    }
}

#[tokio::test]
async fn a_web_socket_has_one_name_over_all_versions() {
    let address = names(key::method_and_path()).await;
    let name = Ok("GET /chat/7".to_owned());
    let upgrade = "host: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    assert_eq!(over_http1(address, "GET /chat/7", upgrade).await, name);
    let extended = Request::builder().method(Method::CONNECT).uri("http://a/chat/7");
    assert_eq!(over_http2(address, extended.extension(h2::ext::Protocol::from_static("websocket"))).await, name);
}

#[tokio::test]
async fn a_cookie_that_http2_has_split_is_one_value() {
    let address = names(key::header("cookie")).await;
    let name = Ok("a=1; b=2".to_owned());
    assert_eq!(over_http1(address, "GET /", "host: a\r\ncookie: a=1; b=2\r\n").await, name);
    let split = Request::get("http://a/").header("cookie", "a=1").header("cookie", "b=2");
    assert_eq!(over_http2(address, split).await, name);
    let twice = over_http1(address, "GET /", "host: a\r\ncookie: a=1\r\ncookie: b=2\r\n").await;
    assert_eq!(twice, Err("the request has the header `cookie` more than once".to_owned()));
    let none = over_http2(address, Request::get("http://a/")).await;
    assert_eq!(none, Err("the request has no header `cookie`".to_owned()));
}
