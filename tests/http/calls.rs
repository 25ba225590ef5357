//! gRPC calls between a tonic client and a tonic server, over real connections.

mod service;
#[path = "../../examples/support/text_codec.rs"]
mod text_codec;

use std::time::Duration;

use axum::body::Body;
use futures_util::stream;
use http::Request;
use orchestrix_locking::{HttpLockLayer, InMemoryLockProvider, LockOptions, OnDisconnect, Resource, key};
use tokio::time::Instant;
use tonic::{Code, Status, Streaming};
use tower::{Layer, ServiceExt};

use crate::support::{LIMIT, becomes_free, is_free};
use service::{Calls, Client, method};
use text_codec::TextCodec;

const NAME: &str = "the-lock";

fn layer(provider: &InMemoryLockProvider) -> HttpLockLayer<key::Key> {
    HttpLockLayer::new(provider.clone(), key::constant(NAME)).wait(Duration::ZERO)
}

async fn message(messages: &mut Streaming<String>) -> Result<Option<String>, Status> {
    tokio::time::timeout(LIMIT, messages.message()).await.expect("the message takes too long")
}

#[tokio::test]
async fn a_unary_call_runs_under_its_lock_and_leaves_it_free() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    let mut client = Client::of(layer(&provider).layer(calls.clone())).await;
    for _ in 0..50 {
        calls.go.add_permits(1);
        assert_eq!(client.unary("pay").await.unwrap(), "pay under the-lock");
        assert!(is_free(&provider, NAME).await);
    }
}

#[tokio::test]
async fn a_server_streaming_call_holds_its_lock_to_its_trailers() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    let mut client = Client::of(layer(&provider).layer(calls.clone())).await;
    for _ in 0..20 {
        let mut messages = client.download("2").await.unwrap();
        for number in ["0", "1"] {
            assert!(!is_free(&provider, NAME).await);
            assert_eq!(client.download("2").await.unwrap_err().code(), Code::Aborted);
            calls.go.add_permits(1);
            assert_eq!(message(&mut messages).await.unwrap().as_deref(), Some(number));
        }
        assert_eq!(message(&mut messages).await.unwrap(), None);
        assert!(is_free(&provider, NAME).await, "the client has the trailers");
    }
}

#[tokio::test]
async fn a_call_that_fails_frees_its_lock_with_its_status() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    let mut client = Client::of(layer(&provider).layer(calls.clone())).await;
    calls.go.add_permits(1);
    let mut messages = client.download("fail").await.unwrap();
    assert_eq!(message(&mut messages).await.unwrap_err().code(), Code::DataLoss);
    assert!(is_free(&provider, NAME).await);
    assert_eq!(client.download("none").await.unwrap_err().code(), Code::InvalidArgument);
    assert!(is_free(&provider, NAME).await);
}

#[tokio::test]
async fn a_bidirectional_call_holds_its_lock_until_both_sides_are_done() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    let mut client = Client::of(layer(&provider).layer(calls)).await;
    for _ in 0..20 {
        let (send, texts) = tokio::sync::mpsc::channel(1);
        let texts = stream::unfold(texts, |mut texts| async move { Some((texts.recv().await?, texts)) });
        let mut messages = client.echo(texts).await.unwrap();
        for text in ["one", "two"] {
            send.send(text.to_owned()).await.unwrap();
            assert_eq!(message(&mut messages).await.unwrap().as_deref(), Some(text));
            assert!(!is_free(&provider, NAME).await);
        }
        drop(send);
        assert_eq!(message(&mut messages).await.unwrap(), None);
        assert!(is_free(&provider, NAME).await, "the client has the trailers");
    }
}

#[tokio::test]
async fn a_client_that_drops_its_stream_frees_the_lock() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    let mut client = Client::of(layer(&provider).layer(calls.clone())).await;
    let mut messages = client.download("5").await.unwrap();
    calls.go.add_permits(1);
    message(&mut messages).await.unwrap();
    drop(messages);
    becomes_free(&provider, NAME).await;

    // A bidirectional call ends only when both directions are dropped: the client keeps its stream while it may send.
    let (send, texts) = tokio::sync::mpsc::channel::<String>(1);
    let texts = stream::unfold(texts, |mut texts| async move { Some((texts.recv().await?, texts)) });
    let messages = client.echo(texts).await.unwrap();
    assert!(!is_free(&provider, NAME).await);
    drop((messages, send));
    becomes_free(&provider, NAME).await;
}

#[tokio::test]
async fn a_cancelled_call_ends_or_is_finished() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    for finishes in [false, true] {
        let layer = layer(&provider);
        let mut client = if finishes {
            Client::of(layer.on_disconnect(OnDisconnect::Finish).layer(calls.clone())).await
        } else {
            Client::of(layer.layer(calls.clone())).await
        };
        tokio::select! {
            _ = client.unary("pay") => panic!("the handler has not been let go"),
            begun = calls.begun.acquire() => begun.unwrap().forget(),
        }
        if finishes {
            calls.go.add_permits(1);
        }
        becomes_free(&provider, NAME).await;
        assert_eq!(calls.finished.available_permits(), usize::from(finishes));
    }
}

#[tokio::test]
async fn a_loss_ends_a_stream_with_an_error() {
    let (provider, calls) = (InMemoryLockProvider::new(), Calls::new());
    let options = LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false);
    let mut client = Client::of(layer(&provider).options(options).layer(calls.clone())).await;
    let mut messages = client.download("2").await.unwrap();
    calls.go.add_permits(1);
    assert!(message(&mut messages).await.is_ok());
    assert!(message(&mut messages).await.is_err());
}

#[tokio::test]
async fn a_message_of_any_characters_reaches_the_client_whole() {
    let provider = InMemoryLockProvider::new();
    let param = HttpLockLayer::new(provider, key::path_param("größe % \n \u{1f512}"));
    let mut client = Client::of(param.layer(Calls::new())).await;
    let status = client.unary("pay").await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().ends_with("`größe % \n \u{1f512}`"), "{status:?}");
}

#[tokio::test]
async fn metadata_names_the_lock_of_a_call() {
    let provider = InMemoryLockProvider::new();
    let calls = Calls::new();
    let key = key::parts([key::metadata("x-tenant"), key::metadata("x-order-bin")]);
    let mut client = Client::of(HttpLockLayer::new(provider.clone(), key).layer(calls.clone())).await;
    client.0.ready().await.unwrap();
    let mut request = tonic::Request::new("pay".to_owned());
    request.metadata_mut().insert("x-tenant", "shop".parse().unwrap());
    request.metadata_mut().insert_bin("x-order-bin", tonic::metadata::MetadataValue::from_bytes("ü:1".as_bytes()));
    calls.go.add_permits(1);
    let answer = client.0.unary(request, method("Unary"), TextCodec).await.unwrap().into_inner();
    assert_eq!(answer, format!("pay under {}", Resource::from_parts(["shop", "ü:1"]).unwrap()));
    assert_eq!(client.unary("pay").await.unwrap_err().code(), Code::InvalidArgument);
}

/// The client's time-out and the layer's wait: whichever is shorter, to the millisecond.
#[tokio::test(start_paused = true)]
async fn the_shorter_of_wait_and_grpc_timeout_counts() {
    let cases = [
        // wait in ms, grpc-timeout, waits for in ms
        (10_000, Some("250m"), 250),
        (250, Some("10S"), 250),
        (250, None, 250),
        (10_000, Some("0m"), 0),
        // A malformed header is ignored.
        (250, Some("1"), 250),
        (250, Some("-1S"), 250),
        (250, Some("99999999H"), 250),
    ];
    for (wait, timeout, expected) in cases {
        for content_type in ["application/grpc", "application/grpc-web+proto"] {
            let provider = InMemoryLockProvider::new();
            let _guard = crate::support::hold(&provider, NAME).await;
            let service = layer(&provider).wait(Duration::from_millis(wait)).layer(Calls::new());
            let mut request = Request::post("/test.Calls/Unary").header("content-type", content_type);
            if let Some(timeout) = timeout {
                request = request.header("grpc-timeout", timeout);
            }
            let begun = Instant::now();
            let request = request.body(tonic::body::Body::new(Body::empty())).unwrap();
            let answer = service.oneshot(request).await.unwrap();
            assert_eq!(begun.elapsed().as_millis(), expected, "{wait} {timeout:?}");
            assert_eq!(answer.headers()["grpc-status"], "14");
        }
    }
    // Only gRPC requests have the header.
    let provider = InMemoryLockProvider::new();
    let _guard = crate::support::hold(&provider, NAME).await;
    let service = layer(&provider).wait(Duration::from_millis(250)).layer(Calls::new());
    let request = Request::post("/").header("grpc-timeout", "1m").body(tonic::body::Body::empty()).unwrap();
    let begun = Instant::now();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 503);
    assert_eq!(begun.elapsed().as_millis(), 250);
}
