//! Sentinels that do not reply, or do not know the service.

use std::time::{Duration, Instant};

use super::scene::{
    TIME, connected, fast, hosts, options, provider_with, refused, serve, took_less, unavailable, until_connected, warm,
};
use crate::fixtures::{acquired, lock, provider_at, soon};
use crate::support::SentinelSet;

/// The first attempt fails at once, and names all of them.
#[tokio::test]
async fn no_sentinel_can_be_reached() {
    // Nothing listens there.
    let ports = [1, 2];
    let provider = provider_at(&format!("redis+sentinel://:pass@{}/locks?sentinel_password=word", hosts(&ports)));
    let began = Instant::now();
    let text = unavailable(lock(&provider, "name").try_acquire(TIME).await);
    took_less(began.elapsed(), Duration::from_millis(500)).await;
    assert!(text.contains("no sentinel of locks can be reached: "), "{text}");
    for port in ports {
        assert!(text.contains(&format!("127.0.0.1:{port}: Connection refused")), "{text}");
    }
    assert!(!text.contains("pass") && !text.contains("word") && !text.contains("TLS"), "{text}");
}

/// Frozen ones are given half of the connect time-out.
#[tokio::test]
async fn no_sentinel_replies() {
    let set = SentinelSet::builder().sentinels(1).quorum(1).start();
    set.stop_sentinel(0);
    let timeouts = options(&set.connection_string()).connect_timeout(Duration::from_millis(800));
    let provider = provider_with(timeouts);
    let began = Instant::now();
    let text = unavailable(lock(&provider, "name").try_acquire(TIME).await);
    assert!(text.contains(&hosts(&set.sentinel_ports())) && text.contains("no sentinel of locks"), "{text}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    took_less(took, Duration::from_millis(900)).await;
}

/// An error of the options: no wait, and the sentinels are named.
#[tokio::test]
async fn a_service_that_no_sentinel_knows() {
    let set = SentinelSet::start();
    let list = hosts(&set.sentinel_ports());
    let provider = provider_at(&format!("redis+sentinel://{list}/lock"));
    let began = Instant::now();
    let text = refused(lock(&provider, "name").try_acquire(TIME).await);
    assert!(text.contains("the sentinels have no such service") && text.contains("\"lock\" is not known to"), "{text}");
    assert!(set.sentinel_ports().iter().all(|port| text.contains(&port.to_string())), "{text}");
    took_less(began.elapsed(), Duration::from_millis(500)).await;
}

/// Locks go on without sentinels, as long as the primary works. A connection that ends meanwhile is made again when a
/// sentinel is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_go_on_without_sentinels() {
    let set = SentinelSet::start();
    let provider = provider_at(&set.connection_string());
    let guard = acquired(&lock(&provider, "held")).await;
    set.kill_all_sentinels();
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..20 {
        warm(&provider).await;
    }
    assert!(guard.extend(TIME).await.unwrap());
    set.nodes()[0].cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let waiting = serve(lock(&provider, "name"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    let text = unavailable(lock(&provider, "other").try_acquire(Duration::from_millis(100)).await);
    println!("{:?}: {text}", began.elapsed());
    assert!(!waiting.is_finished());
    set.start_sentinel_again(1);
    soon("served", waiting).await.unwrap();
    assert!(guard.is_held() && guard.extend(TIME).await.unwrap());
}

/// One that is dead costs nothing, one that is frozen a tenth of a second for each connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sentinel_does_not_reply() {
    let set = fast().start();
    for frozen in [false, true] {
        if frozen {
            set.start_sentinel_again(0);
            set.stop_sentinel(0);
        } else {
            set.kill_sentinel(0);
        }
        let provider = provider_at(&set.connection_string());
        let began = Instant::now();
        warm(&provider).await;
        let took = began.elapsed();
        println!("frozen: {frozen}, connected in {took:?}");
        took_less(took, Duration::from_millis(if frozen { 400 } else { 200 })).await;
        if frozen {
            // The one that would be listened to first. An idle provider hears of the failover all the same.
            let old = set.stop_primary();
            let (new, promoted) = set.until_promoted(old).await;
            until_connected(&set.nodes()[new], 1).await;
            println!("connected {:?} after the promotion", promoted.elapsed());
            set.resume(old);
            assert_eq!(connected(&set.nodes()[new]), 1);
        }
    }
}
