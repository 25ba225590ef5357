//! Grants that count once replicas have them: `confirm_replicas`.

use std::time::{Duration, Instant};

use orchestrix_locking::{BuildError, DistributedLockProvider as _, RedisLockOptions, RedisLockProvider, RedisWarning};

use crate::cluster::{names_on, slot_of};
use crate::outages::scene::{LIMIT, SOON, ended, granted, lock, unavailable, until, until_it_works, wait_for};
use crate::support::{RedisCluster, RedisServer, SentinelSet};

fn confirming(text: &str, replicas: usize, timeout: Duration) -> RedisLockProvider {
    let options = RedisLockOptions::default().connection_string(text).confirm_replicas(replicas, timeout);
    RedisLockProvider::new(options).unwrap()
}

fn waits(server: &RedisServer) -> u64 {
    server.command_stats().get("wait").copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_is_confirmed_by_a_replica_and_grants_together_share_a_wait() {
    let set = SentinelSet::start();
    let provider = confirming(&set.connection_string(), 1, Duration::from_secs(5));
    let begun = Instant::now();
    lock(&provider, "first", LIMIT).acquire().await.unwrap().release().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let before = waits(set.primary().1);
    let tasks: Vec<_> =
        (0..200).map(|number| wait_for(&lock(&provider, &format!("order:{number}"), LIMIT), LIMIT)).collect();
    for task in tasks {
        granted(task).await.release().await.unwrap();
    }
    let shared = waits(set.primary().1) - before;
    assert!((1..100).contains(&shared), "{shared} for 200 grants");
    // Waiters of another process, and of this one.
    let other = confirming(&set.connection_string(), 1, Duration::from_secs(5));
    let held = lock(&provider, "name", LIMIT).acquire().await.unwrap();
    let waiting = [&other, &provider, &other].map(|of| {
        let lock = lock(of, "name", LIMIT);
        tokio::spawn(async move { lock.try_acquire(LIMIT).await.unwrap().expect("in time").release().await.unwrap() })
    });
    held.release().await.unwrap();
    for task in waiting {
        ended(task).await;
    }
}

/// A replica that does not reply, or is not there: the grant is undone, the error says it, and so does a check.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grant_without_its_replicas_is_given_back() {
    let set = SentinelSet::builder().down_after(Duration::from_secs(30)).start();
    let (primary, _) = set.primary();
    let (replica, server) = (1 - primary, &set.nodes()[primary]);
    let timeout = Duration::from_millis(300);
    let provider = confirming(&set.connection_string(), 1, timeout);
    set.nodes()[replica].stop();
    for wait in [Duration::ZERO, LIMIT] {
        let begun = Instant::now();
        let text = unavailable(lock(&provider, "name", LIMIT).try_acquire(wait).await);
        assert!(begun.elapsed() >= timeout && begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(text.contains("0 of the 1 replicas") && text.contains("300ms"), "{text}");
        until("it is given back", SOON, || server.get("orchestrix:lock:name").is_none()).await;
    }
    // A caller that goes away while replicas are waited for leaves nothing.
    let gone = wait_for(&lock(&provider, "gone", LIMIT), LIMIT);
    until("it is granted", SOON, || server.get("orchestrix:lock:gone").is_some()).await;
    gone.abort();
    until("it is given back", SOON, || server.get("orchestrix:lock:gone").is_none()).await;
    set.nodes()[replica].resume();
    until("nothing is left", SOON, || provider.is_empty()).await;
    until_it_works(&lock(&provider, "name", LIMIT)).await;

    let two = confirming(&set.connection_string(), 2, timeout);
    let text = unavailable(lock(&two, "name", LIMIT).acquire().await);
    assert!(text.contains("1 of the 2 replicas"), "{text}");
    let alone = RedisServer::start();
    let provider = confirming(&alone.url(), 1, timeout);
    unavailable(provider.check().await);
    let text = unavailable(lock(&provider, "name", LIMIT).acquire().await);
    assert!(text.contains("0 of the 1 replicas"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_of_a_cluster_confirms_its_own() {
    let cluster = RedisCluster::start();
    let provider = confirming(&cluster.connection_string(), 1, Duration::from_secs(5));
    provider.check().await.unwrap();
    assert!(!provider.warnings().await.unwrap().iter().any(|it| matches!(it, RedisWarning::FewReplicas { .. })));
    let tasks: Vec<_> =
        (0..60).map(|number| wait_for(&lock(&provider, &format!("order:{number}"), LIMIT), LIMIT)).collect();
    for task in tasks {
        granted(task).await.release().await.unwrap();
    }
    assert!(cluster.nodes().iter().take(3).all(|node| waits(node) > 0));
}

/// A slot moves between a grant and its `WAIT`: the replicas of the node that has the slot since are asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_meanwhile_is_followed() {
    let cluster = RedisCluster::start();
    let (node, replica) = (&cluster.nodes()[0], 3);
    let provider = confirming(&cluster.connection_string(), 1, Duration::from_secs(5));
    let names = names_on(&cluster, 0, 2);
    // For the first grant its whole time is waited. The second one has its turn after that.
    cluster.stop(replica);
    let refused = wait_for(&lock(&provider, &names[0], LIMIT), LIMIT);
    let is_waited_for = || node.ask::<String>(redis::cmd("CLIENT").arg("LIST")).contains("cmd=wait");
    until("its replica is waited for", SOON, is_waited_for).await;
    let moved = wait_for(&lock(&provider, &names[1], LIMIT), LIMIT);
    until("it is granted", SOON, || node.get(&format!("orchestrix:lock:{}", names[1])).is_some()).await;
    cluster.move_slot(slot_of(&cluster, &names[1]), 1);
    let text = unavailable(ended(refused).await.0);
    assert!(text.contains("0 of the 1 replicas"), "{text}");
    granted(moved).await.release().await.unwrap();
    cluster.resume(replica);
}

#[test]
fn numbers_and_times_out_of_range_are_refused() {
    let refused = |replicas, timeout| -> BuildError {
        RedisLockProvider::new(RedisLockOptions::default().confirm_replicas(replicas, timeout)).err().unwrap()
    };
    for (replicas, timeout) in
        [(0, Duration::from_secs(1)), (17, Duration::from_secs(1)), (1, Duration::ZERO), (1, Duration::from_secs(61))]
    {
        assert!(refused(replicas, timeout).to_string().contains("confirm_replicas"));
    }
}
