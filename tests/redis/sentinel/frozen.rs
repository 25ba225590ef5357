//! The primary is frozen, replaced, and woken again.

use std::time::{Duration, Instant};

use super::scene::{Times, connected, fast, has, held, replicated, rounds, until_connected, warm};
use crate::fixtures::{acquired, lock, provider_at};

/// An idle provider moves to the new primary because a sentinel announces it: it makes no call that would time out. The old
/// one grants nothing any more when it is woken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_provider_leaves_a_frozen_primary() {
    // It stays a primary for a while when it is woken.
    let set = fast().hello_period(Duration::from_secs(1)).start();
    let providers = [provider_at(&set.connection_string()), provider_at(&set.connection_string())];
    let mut times = Times::default();
    for _ in 0..rounds(1) {
        warm(&providers[0]).await;
        warm(&providers[1]).await;
        let guard = held(&providers[0], "kept", 1).await.remove(0);
        replicated(&set);
        let scripts = set.primary().1.scripts_run();
        let old = set.stop_primary();
        let (new, promoted) = set.until_promoted(old).await;
        until_connected(&set.nodes()[new], 2).await;
        acquired(&lock(&providers[0], "first")).await.release().await.unwrap();
        times.add(promoted.elapsed());
        assert!(guard.is_held());
        set.resume(old);
        for provider in &providers {
            let began = Instant::now();
            let granted = acquired(&lock(provider, "new")).await;
            assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
            assert!(has(&set.nodes()[new], "new") && !has(&set.nodes()[old], "new"));
            granted.release().await.unwrap();
        }
        assert_eq!(set.nodes()[old].scripts_run(), scripts, "the old primary runs nothing any more");
        assert!(guard.extend(crate::fixtures::LONG).await.unwrap());
        guard.release().await.unwrap();
        set.until_replica(old).await;
        assert_eq!(connected(&set.nodes()[old]), 0);
    }
    times.print("frozen: the first lock after the promotion");
}
