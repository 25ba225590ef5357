//! The store's scripts on a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../src/store/mod.rs"]
mod store;
#[path = "../../support/redis/mod.rs"]
mod support;

use orchestrix_locking::FencingToken;
use store::{Answer, Store};
use support::RedisServer;

fn fence(number: u64) -> FencingToken {
    FencingToken::new(number).unwrap()
}

/// What was written is read, by the same fence and by a higher one; a lower one is refused, to read and to write, and
/// a reader alone is enough to shut it out.
#[tokio::test]
async fn a_stale_fence_is_refused_to_readers_and_writers() {
    let server = RedisServer::start();
    let store = Store::connect(&server.url(), true).await.unwrap();
    assert_eq!(store.read("a", fence(5)).await, Answer::Done(0));
    assert_eq!(store.write("a", fence(5), 7).await, Answer::Done(7));
    assert_eq!(store.read("a", fence(5)).await, Answer::Done(7));
    assert_eq!(store.write("a", fence(4), 8).await, Answer::Refused);
    assert_eq!(store.read("a", fence(4)).await, Answer::Refused);
    assert_eq!(store.read("a", fence(6)).await, Answer::Done(7));
    assert_eq!(store.write("a", fence(5), 8).await, Answer::Refused);
    assert_eq!(store.value("a").await.unwrap(), 7);
    // Another resource has a fence of its own.
    assert_eq!(store.write("b", fence(1), 1).await, Answer::Done(1));
}

/// Neighbours beyond 53 bits, which are one and the same as doubles, and fences of unequal length, which have another
/// order as texts.
#[tokio::test]
async fn fences_are_compared_digit_by_digit() {
    let server = RedisServer::start();
    let store = Store::connect(&server.url(), true).await.unwrap();
    let last = FencingToken::MAX.get();
    let rising = [9, 10, 99, 100, 1 << 53, (1 << 53) + 1, (1 << 53) + 2, last - 1, last];
    for (higher, number) in rising.iter().enumerate() {
        assert_eq!(store.write("a", fence(*number), *number).await, Answer::Done(*number));
        for lower in &rising[..higher] {
            assert_eq!(store.write("a", fence(*lower), 0).await, Answer::Refused, "{lower} after {number}");
            assert_eq!(store.read("a", fence(*lower)).await, Answer::Refused, "{lower} after {number}");
        }
    }
    assert_eq!(store.value("a").await.unwrap(), last);
}

/// Without fencing the late writer wins: what the control run is to find.
#[tokio::test]
async fn without_fencing_everything_is_taken() {
    let server = RedisServer::start();
    let store = Store::connect(&server.url(), false).await.unwrap();
    assert_eq!(store.write("a", fence(5), 7).await, Answer::Done(7));
    assert_eq!(store.read("a", fence(4)).await, Answer::Done(7));
    assert_eq!(store.write("a", fence(4), 1).await, Answer::Done(1));
    assert_eq!(store.value("a").await.unwrap(), 1);
}

/// A server that is gone answers nothing, and no answer is claimed.
#[tokio::test]
async fn without_an_answer_the_outcome_is_unknown() {
    let server = RedisServer::start();
    let store = Store::connect(&server.url(), true).await.unwrap();
    drop(server);
    assert!(matches!(store.read("a", fence(1)).await, Answer::Unknown(_)));
    assert!(matches!(store.write("a", fence(1), 1).await, Answer::Unknown(_)));
}
