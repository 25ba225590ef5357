//! What locks cost, counted in the commands that clients send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use orchestrix_locking::{LockOptions, RedisLockProvider};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fixtures::{PATIENCE, acquired, key_of, lock, lock_with, provider_at, until};
use crate::support::{CommandLog, RedisServer};

/// How many commands each client has sent, by its address.
async fn by_client(log: &mut CommandLog<'_>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for command in log.commands().await {
        *counts.entry(command.client.clone()).or_default() += 1;
    }
    counts
}

/// A provider that is connected, so that what it sends from now on is for locks.
async fn connected(server: &RedisServer) -> RedisLockProvider {
    let provider = provider_at(&server.url());
    acquired(&lock(&provider, "warm-up")).await.release().await.unwrap();
    provider
}

#[tokio::test]
async fn an_uncontended_cycle_is_two_commands() {
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let mut log = server.log_commands().await;
    for number in 0..100 {
        let guard = acquired(&lock(&provider, &format!("name-{}", number % 7))).await;
        guard.release().await.unwrap();
    }
    let sent = log.commands_of_clients().await;
    assert_eq!(sent, BTreeMap::from([("evalsha".to_owned(), 200)]));

    // Without waiting for it either, and when a guard is only dropped.
    log.clear().await;
    for _ in 0..100 {
        drop(lock(&provider, "name").try_acquire(Duration::ZERO).await.unwrap().expect("it is free"));
    }
    until("all is released", || server.leftovers().is_empty()).await;
    let sent = log.commands_of_clients().await;
    assert_eq!(sent, BTreeMap::from([("evalsha".to_owned(), 200)]));
}

/// `count` providers pass one lock round, each with one task that wants it again at once: the commands per
/// hand-over, over `rounds` of them.
async fn commands_per_hand_over(count: usize, rounds: u64) -> f64 {
    let server = Arc::new(RedisServer::start());
    let mut providers = Vec::new();
    for _ in 0..count {
        providers.push(connected(&server).await);
    }
    let holder = connected(&server).await;
    let guard = acquired(&lock(&holder, "name")).await;
    let (grants, moved, last) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for (number, provider) in providers.iter().cloned().enumerate() {
        let (grants, moved, last) = (Arc::clone(&grants), Arc::clone(&moved), Arc::clone(&last));
        tasks.spawn(async move {
            let lock = lock(&provider, "name");
            loop {
                let guard = acquired(&lock).await;
                let number = number as u64 + 1;
                moved.fetch_add(u64::from(last.swap(number, SeqCst) != number), SeqCst);
                grants.fetch_add(1, SeqCst);
                guard.release().await.unwrap();
            }
        });
    }
    until("all of them wait", || server.queue_of(&key_of("name")).len() == count).await;
    guard.release().await.unwrap();
    until("it goes round", || grants.load(SeqCst) > count as u64).await;
    let (grants_before, moved_before, run_before) = (grants.load(SeqCst), moved.load(SeqCst), server.scripts_run());
    until("it has gone round often", || grants.load(SeqCst) >= grants_before + rounds).await;
    let run = server.scripts_run() - run_before;
    let granted = grants.load(SeqCst) - grants_before;
    let moved = moved.load(SeqCst) - moved_before;
    tasks.shutdown().await;
    #[allow(clippy::cast_precision_loss)]
    let per_hand_over = run as f64 / granted as f64;
    println!(
        "{count} providers: {granted} grants, {moved} to another process, {run} commands: {per_hand_over:.3} each"
    );
    assert!(moved * 2 >= granted, "the lock goes from process to process");
    per_hand_over
}

/// With 2, 16 and 128 processes that want one lock, a hand-over costs the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hand_over_costs_the_same_however_many_wait() {
    let mut costs = Vec::new();
    for count in [2, 16, 128] {
        costs.push(commands_per_hand_over(count, 2_000).await);
    }
    for cost in &costs {
        assert!(*cost <= 2.5, "a hand-over is a release and a question: {costs:?}");
    }
    let (least, most) = (costs.iter().copied().fold(f64::MAX, f64::min), costs.iter().copied().fold(0.0, f64::max));
    assert!(most / least < 1.2, "the same with 2, 16 and 128: {costs:?}");
}

/// Ten seconds of waiting cost a process fewer than 15 commands, with one waiting task and with 64.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_costs_little_however_many_wait() {
    let server = RedisServer::start();
    let holder = connected(&server).await;
    let guard = acquired(&lock(&holder, "name")).await;
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(connected(&server).await);
    }
    let mut log = server.log_commands().await;
    let began = Instant::now();
    let mut waiting = JoinSet::new();
    for (provider, tasks) in providers.iter().zip([1, 8, 64]) {
        for _ in 0..tasks {
            let lock = lock(provider, "name");
            waiting.spawn(async move { lock.acquire().await.unwrap().release().await.unwrap() });
        }
    }
    until("all processes wait", || server.queue_of(&key_of("name")).len() == 3).await;
    sleep(Duration::from_secs(10).saturating_sub(began.elapsed())).await;
    let counts = by_client(&mut log).await;
    println!("commands in 10 s of waiting, by client: {counts:?}");
    assert_eq!(counts.len(), 3, "each of the three that wait has asked, and the holder needs nothing: {counts:?}");
    for (client, count) in counts {
        assert!(count < 15, "{client} sent {count} commands");
    }
    guard.release().await.unwrap();
    while let Some(ended) = waiting.join_next().await {
        ended.unwrap();
    }
}

/// 64 tasks of one process take turns: the server is asked once for many turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_within_a_process_cost_almost_nothing() {
    const TASKS: usize = 64;
    const EACH: usize = 100;
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let mut log = server.log_commands().await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let lock = lock(&provider, "name");
        tasks.spawn(async move {
            for _ in 0..EACH {
                acquired(&lock).await.release().await.unwrap();
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let sent = log.commands().await.len();
    println!("{} turns: {sent} commands", TASKS * EACH);
    assert!((2..TASKS * EACH / 50).contains(&sent), "{sent} commands");
}

/// Renewals of many locks go out together: one command renews many of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewals_go_out_together() {
    const LOCKS: usize = 200;
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let options = LockOptions::default().ttl(Duration::from_secs(3));
    let locks: Vec<_> = (0..LOCKS).map(|number| lock_with(&provider, &format!("name-{number}"), options)).collect();
    // At once, so that they are due at once also where the machine is slow.
    let guards = futures_util::future::join_all(locks.iter().map(acquired)).await;
    let mut log = server.log_commands().await;
    let began = Instant::now();
    let (commands, renewed) = loop {
        sleep(Duration::from_millis(250)).await;
        let commands = log.commands().await;
        // Each lock has two keys.
        let renewed = commands.iter().map(|command| command.arguments[1].parse::<usize>().unwrap() / 2).sum::<usize>();
        if renewed >= 2 * LOCKS || began.elapsed() > PATIENCE {
            break (commands.len(), renewed);
        }
    };
    println!("{renewed} renewals in {commands} commands");
    assert!(renewed >= 2 * LOCKS && commands < renewed / 4, "{renewed} renewals in {commands} commands");
    assert!(guards.iter().all(orchestrix_locking::LockGuard::is_held));
}

/// A lock is renewed once in each third of its lease, and not more often.
#[tokio::test]
async fn a_lock_is_renewed_once_in_a_third_of_its_lease() {
    let server = RedisServer::start();
    let provider = connected(&server).await;
    let guard = acquired(&lock_with(&provider, "name", LockOptions::default().ttl(Duration::from_millis(1_500)))).await;
    let mut log = server.log_commands().await;
    let began = Instant::now();
    sleep(Duration::from_secs(5)).await;
    let sent = log.commands().await.len();
    let thirds = began.elapsed().as_millis() / 500;
    println!("{sent} renewals in {thirds} thirds of the lease");
    assert!((8..=12).contains(&sent), "{sent} in {thirds} thirds");
    assert!(guard.is_held());
}
