//! Providers whose prefixes begin with each other's, so that two names are one key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use orchestrix_locking::{RedisLockOptions, RedisLockProvider};
use tokio::task::JoinSet;

use crate::fixtures::{acquired, hold_often, lock, soon, until};
use crate::support::RedisServer;

fn provider(server: &RedisServer, prefix: &str) -> RedisLockProvider {
    let options = RedisLockOptions::default().connection_string(server.url()).key_prefix(prefix);
    RedisLockProvider::new(options).unwrap()
}

/// `app:` with `x:1` and `app:x:` with `1` are one key, and exclude each other. A process of the one publishes to no
/// inbox of the other: each is served all the same, while the other wants the lock all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn providers_with_nested_prefixes_share_a_lock() {
    let server = RedisServer::start();
    let (mut tasks, mut providers) = (JoinSet::new(), Vec::new());
    let (outer, inner) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for (count, prefix, name, grants) in [(4, "app:", "x:1", &outer), (1, "app:x:", "1", &inner)] {
        for _ in 0..count {
            let provider = provider(&server, prefix);
            for _ in 0..2 {
                hold_often(lock(&provider, name), grants, &mut tasks);
            }
            providers.push(provider);
        }
    }
    let took = until("both are served again and again", || inner.load(SeqCst) >= 5 && outer.load(SeqCst) >= 5).await;
    println!("{outer:?} and {inner:?} grants in {took:?}");
    tasks.shutdown().await;
    until("nothing is left", || server.leftovers().is_empty()).await;
}

/// Where the other prefix has a single process, which hands the lock over to no other process, both directions work as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_with_another_prefix_is_served_when_the_holder_releases() {
    let server = RedisServer::start();
    let (outer, inner) = (provider(&server, "app:"), provider(&server, "app:x:"));
    for (holder, waiter) in [((&outer, "x:1"), (&inner, "1")), ((&inner, "1"), (&outer, "x:1"))] {
        let guard = acquired(&lock(holder.0, holder.1)).await;
        let waiting = lock(waiter.0, waiter.1);
        let waiting = tokio::spawn(async move { waiting.acquire().await });
        until("it is in the queue", || server.queue_of("app:x:1").len() == 1).await;
        let before = guard.fencing_token();
        guard.release().await.unwrap();
        let guard = soon("it is served", waiting).await.unwrap().unwrap();
        assert!(guard.fencing_token() > before);
        guard.release().await.unwrap();
    }
    until("nothing is left", || server.leftovers().is_empty()).await;
}
