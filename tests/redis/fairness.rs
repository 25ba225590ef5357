//! A lock that several processes want is shared between them, however many of one process's tasks want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use orchestrix_locking::RedisLockProvider;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::fixtures::{acquired, lock, provider_at, until};
use crate::support::RedisServer;

/// A task that takes one lock again and again until it is told to stop, holding it for a time. Counts its grants.
fn greedy(
    provider: &RedisLockProvider,
    hold: Duration,
    grants: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
    tasks: &mut JoinSet<()>,
) {
    let (lock, grants, stop) = (lock(provider, "name"), Arc::clone(grants), Arc::clone(stop));
    tasks.spawn(async move {
        while !stop.load(SeqCst) {
            let guard = acquired(&lock).await;
            grants.fetch_add(1, SeqCst);
            if !hold.is_zero() {
                sleep(hold).await;
            }
            guard.release().await.unwrap();
        }
    });
}

/// Two processes with 16 tasks each want one lock for two seconds, with short and with longer holds: each gets a
/// fair share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_share_a_lock() {
    for hold in [Duration::ZERO, Duration::from_millis(2)] {
        let server = RedisServer::start();
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let sides: Vec<_> = (0..2).map(|_| (provider_at(&server.url()), Arc::new(AtomicU64::new(0)))).collect();
        for (provider, _) in &sides {
            acquired(&lock(provider, "warm-up")).await.release().await.unwrap();
        }
        for (provider, grants) in &sides {
            for _ in 0..16 {
                greedy(provider, hold, grants, &stop, &mut tasks);
            }
        }
        sleep(Duration::from_secs(2)).await;
        let grants: Vec<_> = sides.iter().map(|(_, grants)| grants.load(SeqCst)).collect();
        stop.store(true, SeqCst);
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        println!("holding for {hold:?}: {grants:?}");
        let all: u64 = grants.iter().sum();
        assert!(grants.iter().all(|some| some * 10 >= all * 3), "holding for {hold:?}: {grants:?}");
    }
}

/// How long one process waits for a lock that 64 tasks of each of the other ones want, over some turns.
async fn waits_of_one(crowds: usize, hold: Duration) -> Vec<Duration> {
    let server = RedisServer::start();
    let stop = Arc::new(AtomicBool::new(false));
    let grants = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let crowds: Vec<_> = (0..crowds).map(|_| provider_at(&server.url())).collect();
    for crowd in &crowds {
        for _ in 0..64 {
            greedy(crowd, hold, &grants, &stop, &mut tasks);
        }
    }
    let single = provider_at(&server.url());
    acquired(&lock(&single, "warm-up")).await.release().await.unwrap();
    until("the crowds are busy", || grants.load(SeqCst) > 20).await;
    let mut waits = Vec::new();
    for _ in 0..30 {
        let began = Instant::now();
        acquired(&lock(&single, "name")).await.release().await.unwrap();
        waits.push(began.elapsed());
        sleep(Duration::from_millis(3)).await;
    }
    stop.store(true, SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    waits.sort();
    println!("{} crowds, holding for {hold:?}: median {:?}, longest {:?}", crowds.len(), waits[15], waits[29]);
    waits
}

/// A single waiter of another process does not wait for all the tasks of the holder's process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_waiter_is_not_kept_out_by_a_crowd() {
    for hold in [Duration::ZERO, Duration::from_millis(1)] {
        let waits = waits_of_one(1, hold).await;
        assert!(waits[15] <= Duration::from_millis(100), "half of them: {waits:?}");
        assert!(waits[29] <= Duration::from_millis(300), "the longest: {waits:?}");
    }
}

/// Nor is it when it stands behind another process in the queue, so that it is not the holder who saw it come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_waiter_is_not_kept_out_by_two_crowds() {
    for hold in [Duration::ZERO, Duration::from_millis(1)] {
        let waits = waits_of_one(2, hold).await;
        assert!(waits[15] <= Duration::from_millis(150), "half of them: {waits:?}");
        assert!(waits[29] <= Duration::from_millis(400), "the longest: {waits:?}");
    }
}
