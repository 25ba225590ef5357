//! Nodes that fail, and replicas that take their place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider as _, LockOptions};

use super::{PATIENCE, keys, lock, name_on, names_on, provider, slot_of};
use crate::outages::scene::{SOON, ended, granted, until, wait_for};
use crate::support::RedisCluster;

/// A killed primary: callers with time wait for the replica that takes its place, and none gets an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_is_waited_for() {
    let cluster = RedisCluster::start();
    let providers = [provider(&cluster), provider(&cluster)];
    let name = name_on(&cluster, 0);
    let slot = slot_of(&cluster, &name);
    let names = names_on(&cluster, 0, 50);
    let before = lock(&providers[0], &name).acquire().await.unwrap();
    let token = before.fencing_token();
    before.release().await.unwrap();
    let has_token = || cluster.nodes()[3].keys().iter().any(|key| key.ends_with("}:f"));
    until("the replica has it", SOON, || has_token() && keys(&cluster).is_empty()).await;
    cluster.kill(0);
    let mut waiting = Vec::new();
    for provider in &providers {
        for name in names.iter().chain(std::iter::repeat_n(&name, 50)) {
            let lock = lock(provider, name);
            waiting.push(tokio::spawn(async move {
                let guard =
                    lock.try_acquire(PATIENCE).await.unwrap_or_else(|error| panic!("{error}")).expect("in time");
                let (token, at) = (guard.fencing_token(), Instant::now());
                guard.release().await.unwrap();
                (token, at)
            }));
        }
    }
    let (_, known) = cluster.until_served(slot, 0).await;
    let mut latest = known;
    for task in waiting {
        let (later, at) = ended(task).await;
        assert!(later > token);
        latest = latest.max(at);
    }
    assert!(latest - known < Duration::from_secs(1), "{:?} after the replica took over", latest - known);
    until("nothing is left", SOON, || keys(&cluster).is_empty()).await;
}

/// A failover by hand, under load: no caller gets an error, and locks that are held stay held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_hand_is_not_noticed() {
    let cluster = RedisCluster::start();
    let provider = provider(&cluster);
    let held = lock(&provider, &name_on(&cluster, 0)).acquire().await.unwrap();
    let slot = slot_of(&cluster, held.resource().as_str());
    let is_over = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..32)
        .map(|number| {
            let (lock, is_over) = (lock(&provider, &format!("order:{number}")), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut cycles = 0;
                while !is_over.load(SeqCst) {
                    let guard = lock.try_acquire(PATIENCE).await.unwrap_or_else(|error| panic!("{error}")).unwrap();
                    guard.release().await.unwrap_or_else(|error| panic!("{error}"));
                    cycles += 1;
                }
                cycles
            })
        })
        .collect();
    for _ in 0..2 {
        // With load before it and after it.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let old = cluster.master_of_slot(slot);
        let promoted = cluster.fail_over_by_hand(0);
        assert_eq!(cluster.until_served(slot, old).await.0, promoted);
        tokio::time::sleep(Duration::from_millis(900)).await;
        // Otherwise the next failover may find no replica in sync.
        cluster.until_complete().await;
        assert!(held.is_held(), "after the failover to node {promoted}");
        assert!(held.extend(Duration::from_secs(10)).await.unwrap());
    }
    is_over.store(true, SeqCst);
    for task in load {
        assert!(ended(task).await > 10);
    }
    held.release().await.unwrap();
    until("nothing is left", SOON, || keys(&cluster).is_empty() && provider.is_empty()).await;
}

/// No call is made, and a frozen primary says nothing: that another node has taken its place is noticed all the same, and
/// what is held is looked up there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_makes_no_call_notices_a_failover() {
    let cluster = RedisCluster::start();
    let provider = provider(&cluster);
    let name = name_on(&cluster, 0);
    let long = LockOptions::default().ttl(Duration::from_secs(600));
    let held = provider.create_lock(name.as_str().try_into().unwrap(), long).unwrap().acquire().await.unwrap();
    cluster.stop(0);
    let (promoted, _) = cluster.until_served(slot_of(&cluster, &name), 0).await;
    // As if the failover had lost it.
    cluster.nodes()[promoted].ask::<()>(redis::cmd("DEL").arg(format!("orchestrix:lock:{name}")));
    until("the loss is noticed", Duration::from_secs(40), || !held.is_held()).await;
    cluster.resume(0);
}

/// A frozen primary does not keep callers from the replica that takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_is_left() {
    let cluster = RedisCluster::start();
    let provider = provider(&cluster);
    let name = name_on(&cluster, 1);
    lock(&provider, &name).acquire().await.unwrap().release().await.unwrap();
    cluster.stop(1);
    // The first call is in flight when the node is silent, and nobody can know what became of it.
    _ = lock(&provider, &name).try_acquire(Duration::from_millis(100)).await;
    let waiting = wait_for(&lock(&provider, &name), PATIENCE);
    cluster.until_served(slot_of(&cluster, &name), 1).await;
    match ended(waiting).await.0 {
        Ok(guard) => guard.expect("in time").release().await.map(drop).unwrap(),
        // It was in flight as well.
        Err(error) => assert!(error.to_string().contains("waiting for an answer"), "{error}"),
    }
    granted(wait_for(&lock(&provider, &name), PATIENCE)).await.release().await.unwrap();
    cluster.resume(1);
    cluster.until_complete().await;
    granted(wait_for(&lock(&provider, &name), PATIENCE)).await.release().await.unwrap();
}
