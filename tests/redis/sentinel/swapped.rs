//! `SENTINEL FAILOVER`: a primary that works is replaced.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orchestrix_locking::RedisLockProvider;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::scene::{TIME, Times, fast, held, replicated, rounds, until_connected};
use crate::fixtures::{acquired, at_once, lock, provider_at, until};

const NAMES: usize = 8;

/// Callers that take locks all the time.
#[derive(Default)]
struct Load {
    ended: AtomicBool,
    /// When each name was granted last, if it was since the last look.
    grants: [Mutex<Option<Instant>>; NAMES],
    holders: [AtomicUsize; NAMES],
    /// Grants beside another holder. The sets here lose the last writes, so that there may be some.
    beside_others: AtomicU64,
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
            *self.grants[name].lock().unwrap() = Some(Instant::now());
            let others = self.holders[name].fetch_add(1, SeqCst);
            self.beside_others.fetch_add(u64::from(others > 0), SeqCst);
            sleep(Duration::from_millis(1)).await;
            self.holders[name].fetch_sub(1, SeqCst);
            if guard.release().await.is_err() {
                self.unanswered.fetch_add(1, SeqCst);
            }
        }
    }

    /// Waits until each name has been granted once more.
    async fn until_all_granted(&self) {
        self.grants.iter().for_each(|grant| *grant.lock().unwrap() = None);
        until("each name is granted again", || self.grants.iter().all(|grant| grant.lock().unwrap().is_some())).await;
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
    for caller in 0..NAMES * 4 {
        tasks.spawn(Arc::clone(&load).run(providers[caller % 2].clone(), caller / 4));
    }
    let (mut first, mut all) = (Times::default(), Times::default());
    for _ in 0..rounds(2) {
        let old = set.fail_over().await;
        let (new, promoted) = set.until_promoted(old).await;
        until_connected(&set.nodes()[new], 2).await;
        acquired(&lock(&providers[0], "new")).await.release().await.unwrap();
        first.add(promoted.elapsed());
        load.until_all_granted().await;
        all.add(promoted.elapsed());
        // A lock that was released on the old primary alone would be held on the new one until its lease ends.
        assert!(promoted.elapsed() < Duration::from_secs(4), "{:?}", promoted.elapsed());
        for guard in &guards {
            assert!(guard.is_held() && guard.extend(TIME).await.unwrap(), "{guard:?}");
            assert!(at_once(&lock(&providers[1], guard.resource().as_str())).await.is_none());
        }
        set.until_replica(old).await;
    }
    load.ended.store(true, SeqCst);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    first.print("by hand: the first lock after the promotion");
    all.print("by hand: each busy lock after the promotion");
    let (grants, beside) = (load.tokens.lock().unwrap().len(), load.beside_others.load(SeqCst));
    println!("{grants} grants, {beside} beside another holder, {} releases unanswered", load.unanswered.load(SeqCst));
    for guard in guards {
        guard.release().await.unwrap();
    }
}
