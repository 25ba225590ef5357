//! The end of a provider: with locks held, with waiters, with the server gone, and while acquires are under way.

use std::time::Duration;

use orchestrix_locking::{DistributedLockProvider, LockError, RedisLockOptions, RedisLockProvider, Release};
use tokio::time::Instant;

use crate::fixtures::{Random, acquired, at_once, key_of, lock, provider_at, soon, until};
use crate::support::{Proxy, RedisServer};

const CLOSE_TIMEOUT: Duration = Duration::from_millis(700);

/// What a busy machine may add to a time-out.
const SLACK: Duration = Duration::from_millis(800);

fn quick_to_close(url: &str) -> RedisLockProvider {
    let options = RedisLockOptions::default().connection_string(url).close_timeout(CLOSE_TIMEOUT);
    RedisLockProvider::new(options).unwrap()
}

/// Held locks are lost for their guards and free for others, waits end, in this process and in the server's queue,
/// and all of that is so when `close` returns. The connection goes too.
#[tokio::test]
async fn closed_with_locks_held_and_waiters() {
    let server = RedisServer::start();
    let (ours, other) = (provider_at(&server.url()), provider_at(&server.url()));
    let mut held = Vec::new();
    for number in 0..50 {
        held.push(acquired(&lock(&ours, &format!("held-{number}"))).await);
    }
    let foreign = acquired(&lock(&other, "foreign")).await;
    let mut waiting = Vec::new();
    for name in ["held-0", "held-0", "foreign", "foreign", "foreign"] {
        let lock = lock(&ours, name);
        waiting.push(tokio::spawn(async move { lock.acquire().await }));
    }
    until("they wait", || {
        ours.waiters(&"held-0".try_into().unwrap()) == 2 && ours.waiters(&"foreign".try_into().unwrap()) == 3
    })
    .await;
    until("one waits on the server", || server.queue_of(&key_of("foreign")).len() == 1).await;

    soon("a close with a server ends", ours.close()).await;
    assert_eq!(server.leftovers(), [key_of("foreign")], "everything of ours is gone when close returns");
    assert!(ours.is_empty());
    assert!(foreign.is_held(), "another provider's lock is its own");
    for guard in held {
        assert!(!guard.is_held());
        soon("its guard sees it as loss", guard.lost()).await;
        assert_eq!(guard.release().await.unwrap(), Release::AlreadyLost);
    }
    for task in waiting {
        let ended = soon("a wait ends", task).await.unwrap();
        assert!(matches!(ended, Err(LockError::Closed)), "{ended:?}");
    }
    assert!(matches!(lock(&ours, "later").acquire().await, Err(LockError::Closed)));
    assert!(matches!(lock(&ours, "later").try_acquire(Duration::ZERO).await, Err(LockError::Closed)));
    assert!(matches!(ours.check().await, Err(LockError::Closed)));
    until("one connection is left, the other provider's", || server.tcp_clients().len() == 1).await;
    drop(foreign);
    until("nothing is left", || server.leftovers().is_empty()).await;
}

/// A waiter in another process is next when a provider is closed.
#[tokio::test]
async fn closing_hands_locks_on() {
    let server = RedisServer::start();
    let (ours, other) = (provider_at(&server.url()), provider_at(&server.url()));
    let _held = acquired(&lock(&ours, "name")).await;
    let waiting = lock(&other, "name");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || server.queue_of(&key_of("name")).len() == 1).await;
    ours.close().await;
    let handed_on = tokio::time::timeout(Duration::from_millis(700), waiting).await;
    drop(handed_on.expect("by message, and not when it asks again").unwrap().unwrap());
}

/// Two that close at the same time both wait until it is done; a third has nothing to do.
#[tokio::test]
async fn closed_twice_at_once() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let provider = provider_at(&proxy.url());
    let _held = acquired(&lock(&provider, "name")).await;
    proxy.delay(Duration::from_millis(50));
    let closed = async || {
        provider.close().await;
        server.leftovers()
    };
    let (one, other) = soon("both end", async { tokio::join!(closed(), closed()) }).await;
    assert_eq!((one, other), (vec![], vec![]), "done when either returns");
    let began = Instant::now();
    provider.close().await;
    assert!(began.elapsed() < Duration::from_millis(50), "it is closed already");
}

/// A server that is gone holds no caller up for longer than the time-out, and locks are lost at once.
#[tokio::test]
async fn closed_with_the_server_gone() {
    let server = RedisServer::builder().append_only().start();
    let provider = quick_to_close(&server.url());
    let guard = acquired(&lock(&provider, "name")).await;
    let waiting = lock(&provider, "name");
    let waiting = tokio::spawn(async move { waiting.acquire().await });
    until("it waits", || provider.waiters(&"name".try_into().unwrap()) == 1).await;
    server.kill();
    let began = Instant::now();
    soon("a close ends", provider.close()).await;
    assert!(began.elapsed() < CLOSE_TIMEOUT + SLACK, "after {:?}", began.elapsed());
    assert!(!guard.is_held());
    assert!(matches!(soon("a wait ends", waiting).await.unwrap(), Err(LockError::Closed)));

    // In the background it goes on: the lease would last for minutes.
    server.start_again();
    until("it is free when the server is back with its data", || server.leftovers().is_empty()).await;
    until("the connection is given up then", || server.tcp_clients().is_empty()).await;
}

/// The same with a server that has stopped answering: what it was sent takes effect when it goes on.
#[tokio::test]
async fn closed_with_the_server_frozen() {
    let server = RedisServer::start();
    let provider = quick_to_close(&server.url());
    let guard = acquired(&lock(&provider, "name")).await;
    server.stop();
    let began = Instant::now();
    soon("a close ends", provider.close()).await;
    assert!(began.elapsed() < CLOSE_TIMEOUT + SLACK, "after {:?}", began.elapsed());
    assert!(!guard.is_held());
    server.resume();
    until("it is free when the server goes on", || server.leftovers().is_empty()).await;
    until("the connection is given up then", || server.tcp_clients().is_empty()).await;
}

/// A provider that never talked to its server has nothing to say to it either.
#[tokio::test]
async fn closed_before_it_was_used() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    server.kill();
    let began = Instant::now();
    provider.close().await;
    assert!(began.elapsed() < SLACK);
    assert!(matches!(lock(&provider, "name").acquire().await, Err(LockError::Closed)));
}

/// Closed at a random moment while tasks acquire, hold, extend and release, on a slow network: every one of them
/// ends, and when `close` returns nothing is left, neither granted nor queued.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_while_acquires_are_under_way() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let mut random = Random::new();
    for round in 0..12_u64 {
        proxy.delay(Duration::from_millis(round % 4 * 2));
        let provider = provider_at(&proxy.url());
        // Another process wants the same locks, so that some acquires are in the server's queue.
        let other = provider_at(&server.url());
        let foreign = acquired(&lock(&other, "name-0")).await;
        drop(acquired(&lock(&provider, "warm-up")).await);
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (provider, mut random) = (provider.clone(), random.split());
                tokio::spawn(async move {
                    loop {
                        let lock = lock(&provider, &format!("name-{}", random.below(12)));
                        let wait = Duration::from_micros(random.below(20_000));
                        let acquired = if random.below(4) == 0 {
                            lock.try_acquire(Duration::ZERO).await
                        } else {
                            lock.try_acquire(wait).await
                        };
                        match acquired {
                            Ok(Some(guard)) => match random.below(3) {
                                0 => drop(guard),
                                1 => drop(guard.extend(Duration::from_secs(100)).await),
                                _ => drop(guard.release().await),
                            },
                            // Its time was up, after or before the server had answered.
                            Ok(None) | Err(LockError::Unavailable { .. }) => {}
                            Err(LockError::Closed) => return,
                            Err(error) => panic!("an acquire of a provider that closes: {error}"),
                        }
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(20_000 + random.below(40_000))).await;
        soon("a close with a server ends", provider.close()).await;
        assert_eq!(server.leftovers(), [key_of("name-0")], "all that is left is the other's, in round {round}");
        for task in tasks {
            soon("every acquire ends", task).await.unwrap();
        }
        assert!(provider.is_empty());
        assert_eq!(server.leftovers(), [key_of("name-0")], "nothing comes later, in round {round}");
        foreign.release().await.unwrap();
        assert!(at_once(&lock(&other, "name-1")).await.is_some());
        until("nothing is left", || server.leftovers().is_empty()).await;
    }
}

/// Without a close: when the last of a provider's locks and guards is gone, so are its connection and its keys.
#[tokio::test]
async fn a_provider_that_is_dropped_leaves_nothing() {
    let server = RedisServer::start();
    let provider = provider_at(&server.url());
    let guard = acquired(&lock(&provider, "name")).await;
    drop(provider);
    assert!(guard.is_held(), "a guard keeps its provider");
    assert_eq!(server.leftovers(), [key_of("name")]);
    drop(guard);
    until("the lock is free", || server.leftovers().is_empty()).await;
    until("the connection is gone", || server.tcp_clients().is_empty()).await;
}

/// A job as the recipes have it: it drops its guard, closes, and its runtime ends at once. No run leaves its lock to the
/// next one. What becomes of a guard without the close is tested in `outages::ending`.
#[test]
fn a_job_that_drops_its_guard_and_closes_runs_six_times_in_a_row() {
    let server = RedisServer::start();
    for run in 1..=6 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let provider = provider_at(&server.url());
            let guard = at_once(&lock(&provider, "job")).await;
            assert!(guard.is_some(), "run {run} finds the lock free");
            drop(guard);
            soon("a close with a server ends", provider.close()).await;
        });
    }
    assert!(server.leftovers().is_empty());
}

/// A shutdown is counted apart from losses: only the lock that was taken away before it is one.
#[cfg(feature = "metrics")]
#[test]
fn a_close_is_not_counted_as_loss() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let server = RedisServer::start();
            let provider = provider_at(&server.url());
            let taken = acquired(&lock(&provider, "taken")).await;
            server.cli(&["DEL", &key_of("taken")]);
            assert!(!taken.extend(Duration::from_secs(5)).await.unwrap());
            let (released, dropped) = (acquired(&lock(&provider, "a")).await, acquired(&lock(&provider, "b")).await);
            soon("a close with a server ends", provider.close()).await;
            assert_eq!(released.release().await.unwrap(), Release::AlreadyLost);
            drop((taken, dropped));
        });
    });
    let told = format!("{:?}", snapshotter.snapshot().into_vec());
    for (name, count) in [("orchestrix_locking_lost_total", 1), ("orchestrix_locking_closed_total", 2)] {
        let (_, of_it) = told.split_once(name).unwrap_or_else(|| panic!("{name} is not in {told}"));
        let (_, value) = of_it.split_once("Counter(").unwrap();
        assert!(value.starts_with(&format!("{count})")), "{name}: {told}");
    }
}
