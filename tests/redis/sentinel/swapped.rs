//! `SENTINEL FAILOVER`: a primary that works is replaced.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orchestrix_locking::RedisLockProvider;
use tokio::task::JoinSet;

use super::scene::{TIME, Times, fast, held, replicated, rounds, until_connected};
use crate::fixtures::{lock, provider_at};

/// Callers that take locks all the time.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    grants: AtomicU64,
    latest: Mutex<Option<Instant>>,
    tokens: Mutex<BTreeSet<(usize, u64)>>,
    unanswered: AtomicU64,
}

impl Load {
    /// No acquire has an error, each token is a new one, and those of one caller rise.
    async fn run(self: Arc<Self>, provider: RedisLockProvider, name: usize) {
        let lock = lock(&provider, &format!("busy {name}"));
        let mut last = None;
        while !self.ended.load(SeqCst) {
            let guard = lock.try_acquire(TIME).await.unwrap().expect("there is time enough");
            let token = guard.fencing_token();
            assert!(last.is_none_or(|last| last < token), "tokens rise");
            last = Some(token);
            assert!(self.tokens.lock().unwrap().insert((name, token.get())), "each token is given once");
            self.grants.fetch_add(1, SeqCst);
            *self.latest.lock().unwrap() = Some(Instant::now());
            tokio::time::sleep(Duration::from_millis(1)).await;
            if guard.release().await.is_err() {
                self.unanswered.fetch_add(1, SeqCst);
            }
        }
    }
}

/// Callers with time have no errors, and the locks that the replica had are still held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_by_hand_is_a_wait() {
    let set = fast().start();
    let providers = [provider_at(&set.connection_string()), provider_at(&set.connection_string())];
    let guards = held(&providers[0], "kept", 20).await;
    replicated(&set);
    let load = Arc::new(Load::default());
    let mut tasks = JoinSet::new();
    for caller in 0..32 {
        tasks.spawn(Arc::clone(&load).run(providers[caller % 2].clone(), caller / 4));
    }
    let mut times = Times::default();
    for round in 0..rounds(2) {
        let old = set.fail_over().await;
        let (new, promoted) = set.until_promoted(old).await;
        until_connected(&set.nodes()[new], 2).await;
        let before = load.grants.load(SeqCst);
        crate::fixtures::until("locks are granted", || load.grants.load(SeqCst) > before + 32).await;
        println!("round {round}: {:?} until 32 grants", promoted.elapsed());
        times.add(promoted.elapsed());
        for guard in &guards {
            assert!(guard.is_held() && guard.extend(TIME).await.unwrap(), "{guard:?}");
        }
        set.until_replica(old).await;
    }
    load.ended.store(true, SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    times.print("by hand: 32 locks after the promotion");
    println!("{} grants, {} releases without a reply", load.grants.load(SeqCst), load.unanswered.load(SeqCst));
    for guard in guards {
        guard.release().await.unwrap();
    }
}
