//! The primary is killed while callers hold locks and wait for others.

use std::time::{Duration, Instant};

use super::scene::{TIME, Times, all_served, fast, held, replicated, rounds, serve, until_connected, warm};
use crate::fixtures::{key_of, lock, provider_at, until};

/// Within this time after the promotion all that wait are served.
const SOON: Duration = Duration::from_secs(1);

/// 100 callers wait, by two providers: half of them for one name, the others for ten. All are served soon after the promotion,
/// with rising tokens, and the held locks survive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_waiters_are_served_soon_after_the_promotion() {
    let set = fast().start();
    let providers = [provider_at(&set.connection_string()), provider_at(&set.connection_string())];
    let guards = held(&providers[0], "order", 11).await;
    let before = guards.iter().map(orchestrix_locking::LockGuard::fencing_token).max().unwrap();
    let mut tasks = Vec::new();
    for provider in &providers {
        for caller in 0..50 {
            let name = if caller % 2 == 0 { 0 } else { 1 + caller / 2 % 10 };
            tasks.push((name, serve(lock(provider, &format!("order {name}")))));
        }
    }
    for provider in &providers {
        let waiting = || (0..11).map(|n| provider.waiters(&format!("order {n}").as_str().try_into().unwrap())).sum();
        until("all wait", || {
            let all: usize = waiting();
            all == 50
        })
        .await;
    }
    // The holder's own process is in no queue.
    until("the other is in each queue", || {
        (0..11).all(|n| !set.primary().1.queue_of(&key_of(&format!("order {n}"))).is_empty())
    })
    .await;
    replicated(&set);

    let killed = Instant::now();
    let old = set.kill_primary();
    let (new, promoted) = set.until_promoted(old).await;
    until_connected(&set.nodes()[new], 2).await;
    println!("promoted after {:?}, connected {:?} later", promoted - killed, promoted.elapsed());
    for guard in guards {
        assert!(guard.is_held());
        guard.release().await.unwrap();
    }
    let mut by_name = vec![Vec::new(); 11];
    for (name, task) in tasks {
        by_name[name].extend(all_served(vec![task]).await);
    }
    let mut last = promoted;
    for served in &mut by_name {
        served.sort_by_key(|(_, at)| *at);
        assert!(served.windows(2).all(|pair| pair[0].0 < pair[1].0), "tokens rise: {served:?}");
        assert!(served.iter().all(|(token, _)| *token > before));
        last = served.iter().map(|(_, at)| *at).fold(last, Instant::max);
    }
    println!("the last of 100 was served {:?} after the promotion", last - promoted);
    assert!(last - promoted < SOON, "{:?}", last - promoted);
    until("nothing is left", || set.nodes()[new].leftovers().is_empty()).await;
}

/// Callers that come while there is no primary wait for the next one. Guards that are dropped meanwhile keep no caller
/// waiting beyond that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_come_meanwhile_wait_for_the_new_primary() {
    let set = fast().start();
    let (mut first, mut kept) = (Times::default(), Times::default());
    let provider = provider_at(&set.connection_string());
    for round in 0..rounds(1) {
        warm(&provider).await;
        let guard = held(&provider, "kept", 1).await.remove(0);
        let dropped = held(&provider, "dropped", 1).await.remove(0);
        replicated(&set);
        let old = set.kill_primary();
        let tasks = (0..100).map(|number| serve(lock(&provider, &format!("{round} {number}")))).collect();
        drop(dropped);
        let again = serve(lock(&provider, "dropped 0"));
        let (new, promoted) = set.until_promoted(old).await;
        let served = all_served(tasks).await;
        let (last, (_, at)) = (served.last().unwrap().1, served.first().unwrap());
        first.add(at.saturating_duration_since(promoted));
        assert!(last.saturating_duration_since(promoted) < SOON, "{:?}", last - promoted);
        let (_, at) = all_served(vec![again]).await[0];
        kept.add(at.saturating_duration_since(promoted));
        assert!(guard.extend(TIME).await.unwrap() && guard.is_held());
        guard.release().await.unwrap();
        set.start_again(old);
        set.until_replica(old).await;
        assert_eq!(set.primary().0, new);
    }
    first.print("killed: the first lock after the promotion");
    kept.print("killed: the lock of a guard that was dropped in the outage");
}
