//! Acquiring, waiting, renewing and releasing over all nodes.

use std::time::{Duration, Instant};

use orchestrix_locking::{LockGuard, Release};

use super::{PATIENCE, keys, lock, provider, slot_of};
use crate::outages::scene::{SOON, granted, until, wait_for};
use crate::support::RedisCluster;

/// Names in all parts of the slots are locked at once, exclude each other's processes, and leave nothing but fences.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_on_all_nodes_are_locked_and_released() {
    let cluster = RedisCluster::start();
    let (provider, other) = (provider(&cluster), provider(&cluster));
    let names: Vec<_> = (0..200).map(|number| format!("order:{number}")).collect();
    let taking: Vec<_> = names.iter().map(|name| wait_for(&lock(&provider, name), PATIENCE)).collect();
    let mut held = Vec::new();
    for task in taking {
        held.push(granted(task).await);
    }
    let counts: Vec<_> = cluster.nodes().iter().map(|node| node.keys().len()).collect();
    assert!(counts.iter().take(3).all(|count| *count > 30), "{counts:?}");
    for name in names.iter().take(20) {
        assert!(lock(&other, name).try_acquire(Duration::ZERO).await.unwrap().is_none(), "{name} is held");
    }
    for guard in held {
        assert!(guard.extend(Duration::from_secs(20)).await.unwrap());
        assert_eq!(guard.release().await.unwrap(), Release::Released);
    }
    until("nothing is left", SOON, || keys(&cluster).is_empty() && provider.is_empty()).await;
}

/// A release hands over to the waiter of another process, on whichever node, without polling, in the order of arrival.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_of_other_processes_are_served_in_order_on_every_node() {
    let cluster = RedisCluster::start();
    let providers: Vec<_> = (0..3).map(|_| provider(&cluster)).collect();
    for number in 0..12 {
        let name = format!("order:{number}");
        let mut held = lock(&providers[0], &name).acquire().await.unwrap();
        let mut waiting = Vec::new();
        for provider in providers.iter().skip(1) {
            waiting.push(wait_for(&lock(provider, &name), PATIENCE));
            until("it waits", SOON, || provider.waiters(&name.as_str().try_into().unwrap()) == 1).await;
            let queue = format!("{{orchestrix:lock:{name}}}:q");
            let count = waiting.len();
            let node = &cluster.nodes()[cluster.master_of_slot(slot_of(&cluster, &name))];
            until("the server knows", SOON, || node.ask::<usize>(redis::cmd("LLEN").arg(&queue)) == count).await;
        }
        for task in waiting {
            let begun = Instant::now();
            let before = held.fencing_token();
            held.release().await.unwrap();
            held = granted(task).await;
            assert!(begun.elapsed() < Duration::from_millis(500), "{:?}: by a notification", begun.elapsed());
            assert!(held.fencing_token() > before);
        }
        held.release().await.unwrap();
    }
    until("nothing is left", SOON, || keys(&cluster).is_empty()).await;
}

/// A lease is renewed on its node for as long as it is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_are_renewed_on_every_node() {
    use orchestrix_locking::{DistributedLockProvider as _, LockOptions};
    let cluster = RedisCluster::start();
    let provider = provider(&cluster);
    let mut held = Vec::new();
    for number in 0..30 {
        let name = format!("order:{number}").as_str().try_into().unwrap();
        let short = LockOptions::default().ttl(Duration::from_millis(600));
        held.push(provider.create_lock(name, short).unwrap().acquire().await.unwrap());
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(held.iter().all(LockGuard::is_held));
    for guard in held {
        assert_eq!(guard.release().await.unwrap(), Release::Released);
    }
}
