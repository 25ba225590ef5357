//! Passwords of sentinels and nodes: each has its own, or none.

use std::time::{Duration, Instant};

use super::scene::{TIME, fast, hosts, refused, until_connected, warm};
use crate::fixtures::{lock, provider_at, soon};
use crate::support::{SentinelSet, SentinelSetBuilder};

/// A failover that the provider hears of, so that it has listened to a sentinel.
async fn works(set: &SentinelSet, url: &str) {
    let provider = provider_at(url);
    warm(&provider).await;
    let old = set.stop_primary();
    let (new, _) = set.until_promoted(old).await;
    until_connected(&set.nodes()[new], 1).await;
    warm(&provider).await;
}

async fn error(url: &str) -> String {
    let provider = provider_at(url);
    let began = Instant::now();
    let text = refused(soon("refused", lock(&provider, "name").try_acquire(TIME)).await);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    for secret in ["nodes-secret", "watch-secret", "wrong-secret"] {
        assert!(!text.contains(secret), "{text}");
    }
    println!("{text}");
    text
}

fn started(set: SentinelSetBuilder) -> (SentinelSet, String) {
    let set = set.start();
    let hosts = hosts(&set.sentinel_ports());
    (set, hosts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_nodes_have_a_password() {
    let (set, hosts) = started(fast().password("nodes-secret"));
    let text = error(&format!("redis+sentinel://{hosts}/locks")).await;
    assert!(text.contains("NOAUTH") && text.contains(&set.nodes()[0].port().to_string()), "{text}");
    let text = error(&format!("redis+sentinel://:wrong-secret@{hosts}/locks")).await;
    assert!(text.contains("WRONGPASS"), "{text}");
    // The sentinels refuse a password, and are not given one.
    works(&set, &format!("redis+sentinel://:nodes-secret@{hosts}/locks")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_sentinels_have_a_password() {
    let (set, hosts) = started(fast().sentinel_password("watch-secret"));
    let text = error(&format!("redis+sentinel://{hosts}/locks")).await;
    assert!(text.contains("NOAUTH") && text.contains("from the sentinel 127.0.0.1:"), "{text}");
    assert!(text.contains("sentinel_password"), "{text}");
    let text = error(&format!("redis+sentinel://{hosts}/locks?sentinel_password=wrong-secret")).await;
    assert!(text.contains("from the sentinel 127.0.0.1:") && text.contains("sentinel_password"), "{text}");
    works(&set, &format!("redis+sentinel://{hosts}/locks?sentinel_password=watch-secret")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_have_passwords_of_their_own() {
    let (set, hosts) = started(fast().password("nodes-secret").sentinel_password("watch-secret"));
    let text = error(&format!("redis+sentinel://:nodes-secret@{hosts}/locks")).await;
    assert!(text.contains("from the sentinel 127.0.0.1:") && text.contains("sentinel_password"), "{text}");
    let text = error(&format!("redis+sentinel://:wrong-secret@{hosts}/locks?sentinel_password=watch-secret")).await;
    assert!(text.contains("WRONGPASS") && text.contains(&set.nodes()[0].port().to_string()), "{text}");
    works(&set, &format!("{hosts},serviceName=locks,password=nodes-secret,sentinelPassword=watch-secret")).await;
}

/// The sentinels are given the nodes' password where they ask for one and have none of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_have_the_same_password() {
    let (set, hosts) = started(fast().password("nodes-secret").sentinel_password("nodes-secret"));
    works(&set, &format!("redis+sentinel://:nodes-secret@{hosts}/locks")).await;
}
