//! The whole refusal table as bytes on the wire, read by clients that share no code with the server: HTTP/1.1
//! by hand, HTTP/2 frame by frame, and curl where it is installed.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use http::Request;
use orchestrix_locking::{
    DistributedLockProvider, HttpLockLayer, InMemoryLockProvider, LockError, LockGuard, LockOptions, key,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Failing, hold, serve};

/// The name of a lock that another caller holds. No answer may contain it.
const SECRET: &str = "the-key-of-another";
const HOST: &str = "10.0.0.7:6379";

struct Row {
    name: &'static str,
    status: u16,
    retry_after: Option<&'static str>,
    grpc: &'static str,
}

const ROWS: [Row; 9] = [
    Row { name: "held", status: 409, retry_after: None, grpc: "10" },
    Row { name: "busy", status: 503, retry_after: Some("1"), grpc: "14" },
    Row { name: "invalid-key", status: 400, retry_after: None, grpc: "3" },
    Row { name: "too-many-waiters", status: 429, retry_after: Some("1"), grpc: "8" },
    Row { name: "unavailable", status: 503, retry_after: Some("1"), grpc: "14" },
    Row { name: "lost", status: 500, retry_after: None, grpc: "13" },
    Row { name: "closed", status: 503, retry_after: Some("1"), grpc: "14" },
    Row { name: "misconfigured", status: 500, retry_after: None, grpc: "13" },
    Row { name: "misconfigured-param", status: 500, retry_after: None, grpc: "13" },
];

/// One path per row of the table.
async fn every_refusal() -> (SocketAddr, LockGuard) {
    let held = InMemoryLockProvider::new();
    let guard = hold(&held, SECRET).await;
    let closed = InMemoryLockProvider::new();
    closed.close().await;
    let free = InMemoryLockProvider::new;
    let layer = |provider: InMemoryLockProvider| HttpLockLayer::new(provider, key::constant(SECRET));
    let short = LockOptions::default().ttl(Duration::from_millis(20)).auto_renew(false);
    let down = Failing(LockError::unavailable(format!("{HOST} refused")));

    let stuck = any(|| async { std::future::pending::<&'static str>().await });
    let router = Router::new()
        .route("/held", stuck.clone().layer(layer(held.clone()).wait(Duration::ZERO)))
        .route("/busy", stuck.clone().layer(layer(held.clone()).wait(Duration::from_millis(5))))
        .route("/invalid-key", stuck.clone().layer(HttpLockLayer::new(free(), key::header("x-account"))))
        .route("/too-many-waiters", stuck.clone().layer(layer(held).max_waiters(0)))
        .route("/unavailable", stuck.clone().layer(HttpLockLayer::new(down, key::constant(SECRET))))
        .route("/lost", stuck.clone().layer(layer(free()).options(short)))
        .route("/closed", stuck.clone().layer(layer(closed)))
        .route("/misconfigured", stuck.clone().layer(layer(free()).ttl(Duration::ZERO)))
        .route("/misconfigured-param", stuck.layer(HttpLockLayer::new(free(), key::path_param("größe%\n"))));
    (serve(router).await.address(), guard)
}

/// An answer as it came, its header names in lower case.
#[derive(Debug)]
struct Wire {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Wire {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect(text);
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").expect(line));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    /// The header's one value.
    fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} more than once");
        value
    }

    fn expect(&self, row: &Row, content_type: Option<&str>) {
        let everything = format!("{self:?}");
        assert!(!everything.contains(SECRET) && !everything.contains(HOST), "{everything}");
        match content_type {
            Some(content_type) => self.expect_grpc(row, content_type),
            None => self.expect_problem(row),
        }
    }

    fn expect_problem(&self, row: &Row) {
        assert_eq!(self.status, row.status, "{}: {self:?}", row.name);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("retry-after"), row.retry_after, "{}", row.name);
        assert_eq!(self.header("content-length"), Some(self.body.len().to_string().as_str()));
        assert_eq!(self.header("grpc-status"), None);
        let json: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let members: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members, ["detail", "status", "title", "type"]);
        let name = row.name.trim_end_matches("-param");
        assert_eq!(json["type"], format!("urn:orchestrix:locking:{name}"));
        assert_eq!(json["status"], row.status);
        assert!(json["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(json["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        if row.name == "misconfigured-param" {
            assert_eq!(json["detail"], "the route has no path parameter `größe%\n`");
        }
    }

    fn expect_grpc(&self, row: &Row, content_type: &str) {
        assert_eq!(self.status, 200, "{}: {self:?}", row.name);
        assert_eq!(self.header("content-type"), Some(content_type));
        assert_eq!(self.header("grpc-status"), Some(row.grpc), "{}", row.name);
        assert_eq!(self.header("retry-after"), None);
        assert_eq!(self.body, "");
        let message = self.header("grpc-message").unwrap();
        // The specification leaves printable ASCII unescaped, except for the percent sign.
        assert!(message.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{message}");
        if row.name == "misconfigured-param" {
            assert!(message.ends_with("`gr%C3%B6%C3%9Fe%25%0A`"), "{message}");
        }
    }
}

const STYLES: [Option<&str>; 5] = [
    None,
    Some("application/grpc"),
    Some("application/grpc+proto"),
    Some("application/grpc-web+proto"),
    Some("application/grpc-web-text"),
];

#[tokio::test]
async fn every_row_over_http1_by_hand() {
    let (address, _guard) = every_refusal().await;
    for row in &ROWS {
        for style in STYLES {
            let content_type = style.map(|style| format!("content-type: {style}\r\n")).unwrap_or_default();
            let request =
                format!("POST /{} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{content_type}\r\n", row.name);
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
            Wire::parse(&answer).expect(row, style);
        }
    }
}

#[tokio::test]
async fn every_row_over_http2_frame_by_frame() {
    let (address, _guard) = every_refusal().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for row in &ROWS {
        for style in STYLES {
            let mut request = Request::post(format!("http://{address}/{}", row.name));
            if let Some(style) = style {
                request = request.header("content-type", style);
            }
            let (answer, _): (_, h2::SendStream<Bytes>) = client.send_request(request.body(()).unwrap(), true).unwrap();
            let (head, mut body) = answer.await.unwrap().into_parts();
            let headers =
                head.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            // "Trailers only" is one HEADERS frame that ends the stream.
            assert_eq!(body.is_end_stream(), style.is_some(), "{}", row.name);
            let mut text = Vec::new();
            while let Some(data) = body.data().await {
                text.extend_from_slice(&data.unwrap());
            }
            assert_eq!(body.trailers().await.unwrap(), None);
            let body = String::from_utf8(text).unwrap();
            Wire { status: head.status.as_u16(), headers: headers.collect(), body }.expect(row, style);
        }
    }
    connection.abort();
}

/// Both protocols again, with curl. The two tests before need no installed program.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_row_as_curl_sees_it() {
    let installed = Command::new("curl").arg("--version").output();
    let Some(version) = installed.ok().filter(|it| it.status.success()) else {
        println!("curl is not installed: the clients by hand are all there is");
        return;
    };
    // Some builds of curl speak HTTP/1 alone.
    let http2 = String::from_utf8_lossy(&version.stdout).contains("HTTP2").then_some("--http2-prior-knowledge");
    let (address, _guard) = every_refusal().await;
    for protocol in [Some("--http1.1"), http2].into_iter().flatten() {
        for row in &ROWS {
            for style in STYLES {
                let url = format!("http://{address}/{}", row.name);
                let mut curl = Command::new("curl");
                curl.args(["--noproxy", "*", "-q", "-s", "-S", "-i", "-X", "POST", "--max-time", "20", protocol, &url]);
                if let Some(style) = style {
                    curl.args(["-H", &format!("content-type: {style}")]);
                }
                let answer = tokio::task::block_in_place(|| curl.output()).unwrap();
                assert!(answer.status.success(), "{answer:?}");
                Wire::parse(&String::from_utf8(answer.stdout).unwrap()).expect(row, style);
            }
        }
    }
}
