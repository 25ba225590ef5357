//! `check` warns of replication that may lose the latest locks.

use orchestrix_locking::{DistributedLockProvider, RedisWarning};

use super::scene::hosts;
use crate::fixtures::{provider_at, until};
use crate::support::{FEWEST_COMMANDS, FEWEST_KEYS, INBOXES, RedisServer, SentinelSet};

async fn warnings(url: &str) -> Vec<RedisWarning> {
    provider_at(url).warnings().await.unwrap()
}

fn replication(replicas: usize) -> [RedisWarning; 1] {
    [RedisWarning::AsynchronousReplication { replicas }]
}

/// A server alone has no replica that could take its place.
#[tokio::test]
async fn replicas_of_one_server() {
    let primary = RedisServer::builder().config("repl-diskless-sync-delay", "0").start();
    let replica = RedisServer::start();
    assert_eq!(warnings(&primary.url()).await, []);
    replica.replicate(&primary);
    until("it is in sync", || replica.replication("master_link_status").as_deref() == Some("up")).await;
    let provider = provider_at(&primary.url());
    assert_eq!(provider.warnings().await.unwrap(), replication(1));
    assert_eq!(warnings(&hosts(&[replica.port(), primary.port()])).await, replication(1));
    primary.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let info = || primary.cli(&["INFO", "replication"]);
    until("it takes writes", || info().contains("min_slaves_good_slaves:1")).await;
    assert_eq!(provider.warnings().await.unwrap(), []);
    // Without a limit for their lag it has no effect.
    primary.cli(&["CONFIG", "SET", "min-replicas-max-lag", "0"]);
    assert_eq!(provider.warnings().await.unwrap(), replication(1));
}

/// With Sentinel there is a warning also while no replica is connected.
#[tokio::test]
async fn a_set_with_sentinels() {
    let rules = format!("on >secret resetchannels -@all {FEWEST_COMMANDS} {FEWEST_KEYS} {INBOXES} +role");
    let set = SentinelSet::builder().replicas(2).user_acl(&format!("app {rules}")).start();
    let provider = provider_at(&set.connection_string_as("app", "secret"));
    provider.check().await.unwrap();
    assert_eq!(provider.warnings().await.unwrap(), replication(2));
    let text = provider.warnings().await.unwrap()[0].to_string();
    assert!(text.contains("replicas connected: 2") && text.contains("min-replicas-to-write"), "{text}");
    set.nodes()[1..].iter().for_each(RedisServer::kill);
    let primary = &set.nodes()[0];
    until("they are gone", || primary.cli(&["INFO", "replication"]).contains("connected_slaves:0")).await;
    assert_eq!(provider.warnings().await.unwrap(), replication(0));
    drop(set);
    let set = SentinelSet::builder().min_replicas(1, 2).start();
    assert_eq!(warnings(&set.connection_string()).await, []);
}
