//! Slots that move from node to node while their locks are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use orchestrix_locking::{DistributedLockProvider as _, LockOptions, RedisLockProvider, Release};

use super::{PATIENCE, keys, lock, name_on, provider, slot_of};
use crate::outages::scene::{LIMIT, SOON, ended, granted, until, wait_for};
use crate::support::RedisCluster;

/// A lock that is held moves with its slot, and so do its waiters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_moves_with_its_slot() {
    let cluster = RedisCluster::builder().replicas(0).start();
    let (first, second) = (provider(&cluster), provider(&cluster));
    let name = name_on(&cluster, 0);
    let slot = slot_of(&cluster, &name);
    let mut held = lock(&first, &name).acquire().await.unwrap();
    for to in [1, 2, 0] {
        let waiting = wait_for(&lock(&second, &name), PATIENCE);
        until("it waits", SOON, || second.waiters(&name.as_str().try_into().unwrap()) == 1).await;
        cluster.move_slot(slot, to);
        assert!(held.extend(Duration::from_secs(10)).await.unwrap(), "moved to {to}");
        assert!(lock(&first, &name).try_acquire(Duration::ZERO).await.unwrap().is_none(), "it is held");
        let token = held.fencing_token();
        assert_eq!(held.release().await.unwrap(), Release::Released);
        let other = granted(waiting).await;
        assert!(other.fencing_token() > token);
        other.release().await.unwrap();
        held = lock(&first, &name).acquire().await.unwrap();
    }
    held.release().await.unwrap();
    until("nothing is left", SOON, || keys(&cluster).is_empty()).await;
}

/// Slots move to and fro under load: no caller with time gets an error, no two hold one lock, and nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_move_under_load() {
    let cluster = RedisCluster::builder().replicas(0).start();
    let providers = [provider(&cluster), provider(&cluster)];
    let names: Vec<_> = (0..16).map(|number| format!("order:{number}")).collect();
    let taken: Arc<Vec<AtomicBool>> = Arc::new(names.iter().map(|_| AtomicBool::new(false)).collect());
    let (cycles, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut load = Vec::new();
    for provider in &providers {
        for (at, name) in names.iter().enumerate() {
            let (lock, taken) = (lock(provider, name), Arc::clone(&taken));
            let (cycles, is_over) = (Arc::clone(&cycles), Arc::clone(&is_over));
            load.push(tokio::spawn(async move {
                while !is_over.load(SeqCst) {
                    let guard = lock.try_acquire(PATIENCE).await.unwrap_or_else(|error| panic!("{error}")).unwrap();
                    assert!(!taken[at].swap(true, SeqCst), "two hold it");
                    tokio::task::yield_now().await;
                    taken[at].store(false, SeqCst);
                    guard.release().await.unwrap_or_else(|error| panic!("{error}"));
                    cycles.fetch_add(1, SeqCst);
                }
            }));
        }
    }
    let slots: Vec<_> = names.iter().map(|name| slot_of(&cluster, name)).collect();
    let (mut turn, mut moves) = (0, 0);
    let begun = Instant::now();
    // Not for a time alone: a busy machine does less in it.
    while begun.elapsed() < Duration::from_secs(5) || cycles.load(SeqCst) <= 1_000 || moves <= 10 {
        assert!(begun.elapsed() < LIMIT, "{cycles:?} cycles, {moves} moves");
        let (slot, to) = (slots[turn % slots.len()], (turn / slots.len() + turn) % 3);
        if cluster.master_of_slot(slot) != to {
            cluster.move_slot(slot, to);
            moves += 1;
        }
        turn += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    is_over.store(true, SeqCst);
    for task in load {
        ended(task).await;
    }
    println!("{moves} moves, {cycles:?} cycles in {:?}", begun.elapsed());
    until("nothing is left", SOON, || keys(&cluster).is_empty() && providers.iter().all(RedisLockProvider::is_empty))
        .await;
}

/// A slot whose move takes long: its locks are waited for, and those of other slots are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_open_for_long_is_waited_for() {
    let cluster = RedisCluster::builder().replicas(0).start();
    let provider = provider(&cluster);
    let (name, other) = (name_on(&cluster, 0), name_on(&cluster, 1));
    let slot = slot_of(&cluster, &name);
    lock(&provider, &name).acquire().await.unwrap().release().await.unwrap();
    cluster.begin_move(slot, 1);
    let waiting = wait_for(&lock(&provider, &name), PATIENCE);
    for _ in 0..50 {
        // Before the move ends, which it does not as long as this lasts.
        let guard = lock(&provider, &other).try_acquire(PATIENCE).await.unwrap().unwrap();
        guard.release().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!waiting.is_finished());
    cluster.move_keys(slot, 1);
    cluster.end_move(slot, 1);
    granted(waiting).await.release().await.unwrap();
    until("nothing is left", SOON, || keys(&cluster).is_empty()).await;
}

/// While a slot is open its locks are not renewed: a lease that is longer than the move stays, and a shorter one ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_is_shorter_than_a_move_is_lost() {
    let cluster = RedisCluster::builder().replicas(0).start();
    let provider = provider(&cluster);
    let names: Vec<_> = (0..)
        .map(|number| format!("order:{number}"))
        .filter(|name| cluster.master_of_slot(slot_of(&cluster, name)) == 0)
        .take(2)
        .collect();
    let [short, long] = [Duration::from_millis(900), Duration::from_secs(30)];
    let with = |name: &str, ttl| {
        let options = LockOptions::default().ttl(ttl);
        provider.create_lock(name.try_into().unwrap(), options).unwrap()
    };
    let shorter = with(&names[0], short).acquire().await.unwrap();
    let longer = with(&names[1], long).acquire().await.unwrap();
    for name in &names {
        cluster.begin_move(slot_of(&cluster, name), 1);
    }
    let latest_end = Instant::now() + short;
    until("its lease has ended", SOON, || {
        assert!(Instant::now() + shorter.remaining() <= latest_end, "it was not renewed");
        !shorter.is_held()
    })
    .await;
    assert!(longer.is_held());
    for name in &names {
        cluster.move_keys(slot_of(&cluster, name), 1);
        cluster.end_move(slot_of(&cluster, name), 1);
    }
    assert!(longer.extend(Duration::from_secs(10)).await.unwrap());
    drop(shorter);
    for guard in [granted(wait_for(&lock(&provider, &names[0]), PATIENCE)).await, longer] {
        assert_eq!(guard.release().await.unwrap(), Release::Released);
    }
    until("nothing is left", SOON, || keys(&cluster).is_empty()).await;
}
