//! A list of servers without sentinels: the one that is a primary is used.

use std::time::{Duration, Instant};

use orchestrix_locking::LockError;

use super::scene::{TIME, connected, has, hosts, serve, took_less, unavailable, until_connected, warm};
use crate::fixtures::{acquired, lock, provider_at, soon};
use crate::support::RedisServer;

fn pair() -> (RedisServer, RedisServer) {
    let (primary, replica) = (RedisServer::start(), RedisServer::start());
    replica.replicate(&primary);
    (primary, replica)
}

/// In both orders, and after the two have changed places.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_primary_is_found() {
    let (mut primary, mut replica) = pair();
    let ports = [primary.port(), replica.port()];
    let providers = [provider_at(&hosts(&ports)), provider_at(&hosts(&[ports[1], ports[0]]))];
    for _ in 0..3 {
        for provider in &providers {
            let guard = soon("granted", lock(provider, "name").try_acquire(TIME)).await.unwrap().unwrap();
            assert!(has(&primary, "name"));
            guard.release().await.unwrap();
        }
        until_connected(&primary, 2).await;
        assert_eq!(connected(&replica), 0);
        // As an operator would do it: the old one first, so that there are never two.
        primary.replicate(&replica);
        replica.replicate_nobody();
        std::mem::swap(&mut primary, &mut replica);
    }
}

/// A dead or frozen replica keeps no caller waiting for long.
#[tokio::test]
async fn a_replica_may_be_out_of_reach() {
    let (primary, replica) = pair();
    let list = hosts(&[replica.port(), primary.port()]);
    for frozen in [true, false] {
        if frozen {
            replica.stop();
        } else {
            replica.kill();
        }
        let began = Instant::now();
        warm(&provider_at(&list)).await;
        took_less(began.elapsed(), Duration::from_millis(500)).await;
    }
}

/// Locks on one of two primaries do not exclude those on the other.
#[tokio::test]
async fn two_primaries_are_refused() {
    let servers = [RedisServer::start(), RedisServer::start()];
    let list = hosts(&[servers[0].port(), servers[1].port()]);
    let provider = provider_at(&format!("{list},password=pass"));
    let plain = provider_at(&list);
    let began = Instant::now();
    let error = lock(&plain, "name").try_acquire(TIME).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("several of the servers are primaries"), "{text}");
    let names = text.rsplit("exclude those on another").next().unwrap();
    assert!(servers.iter().all(|server| names.contains(&format!("127.0.0.1:{}", server.port()))), "{text}");
    took_less(began.elapsed(), Duration::from_millis(500)).await;
    println!("{error:?}");

    // One that refuses this client is named, without the password.
    let error = lock(&provider, "name").try_acquire(TIME).await.unwrap_err();
    assert!(matches!(error, LockError::Backend { .. }) && !error.to_string().contains("pass@"), "{error}");
    println!("{error}");
}

/// None is a primary: that is waited for, for as long as the caller has time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_is_waited_for() {
    let (primary, replica) = pair();
    primary.replicate(&replica);
    let provider = provider_at(&hosts(&[primary.port(), replica.port()]));
    let began = Instant::now();
    let text = unavailable(lock(&provider, "name").try_acquire(Duration::from_millis(1500)).await);
    assert!(text.contains("is a replica of 127.0.0.1:"), "{text}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1400), "{took:?}");
    took_less(took, Duration::from_millis(1800)).await;
    let waiting = serve(lock(&provider, "name"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    replica.replicate_nobody();
    let promoted = Instant::now();
    let (_, at) = soon("served", waiting).await.unwrap();
    took_less(at - promoted, Duration::from_secs(1)).await;
}

/// No server listens: the first attempt fails at once. After a connection callers wait for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_out_of_reach() {
    let (primary, replica) = pair();
    let list = hosts(&[primary.port(), replica.port()]);
    let provider = provider_at(&list);
    let guard = acquired(&lock(&provider, "held")).await;
    replica.kill();
    primary.kill();
    let began = Instant::now();
    let text = unavailable(lock(&provider_at(&list), "name").try_acquire(TIME).await);
    assert!(text.contains("Connection refused") && text.contains(&hosts(&[primary.port()])), "{text}");
    took_less(began.elapsed(), Duration::from_millis(500)).await;
    let waiting = serve(lock(&provider, "name"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    primary.start_again();
    soon("served", waiting).await.unwrap();
    assert!(!guard.extend(TIME).await.unwrap(), "the server has lost its data");
}
